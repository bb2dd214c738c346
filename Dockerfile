# The service with its model, as a user without privileges.
#
#   docker build -t textcnn .                             answers on the CPU; torch is there for what the table engine cannot run
#   docker build -t textcnn --build-arg TORCH=2.13.0 .    the CUDA build of torch; run with --gpus all
#   docker build -t textcnn --build-arg TORCH=none .      without torch, some 700 MB smaller: table engine only
#   docker run -p 127.0.0.1:8000:8000 textcnn
#   docker run -p 8000:8000 -v ./models:/models:ro -v ./keys.jsonl:/keys.jsonl:ro -e TEXTCNN_KEYS=/keys.jsonl textcnn
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp ...    it needs no more than that

FROM python:3.11-slim AS builder
ARG TORCH=2.13.0+cpu

# For the package's C extension; the image that runs has no compiler.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

# pip stays outside, so that the image that runs cannot install anything.
RUN python -m venv --without-pip /venv
ENV PIP_NO_CACHE_DIR=1 PIP_PYTHON=/venv/bin/python

# From the configured index, else from the one that has the CPU wheels. Before the sources, so that a change in them does not repeat it.
RUN if [ "$TORCH" != none ]; then \
        pip install "torch==$TORCH" \
        || pip install --extra-index-url https://download.pytorch.org/whl/cpu "torch==$TORCH"; \
    fi

WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY textcnn textcnn
COPY service service
RUN pip install ".[serve,summarize]"


FROM python:3.11-slim

RUN groupadd --gid 10001 textcnn \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin textcnn \
    && install --directory --owner=10001 --group=10001 /feedback

COPY --from=builder /venv /venv
COPY models /models

# Who can reach the port is for `docker run -p` to say. With keys (TEXTCNN_KEYS) nobody gets in without one all the same.
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TEXTCNN_HOST=0.0.0.0 \
    TEXTCNN_ALLOW_ANONYMOUS=true \
    TEXTCNN_PORT=8000 \
    TEXTCNN_MODELS=/models

WORKDIR /srv
USER 10001:10001
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['TEXTCNN_PORT']), timeout=2); c.request('GET', '/health/ready'); sys.exit(c.getresponse().status != 200)"]

CMD ["python", "-P", "-m", "service"]
