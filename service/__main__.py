"""python -m service: settings from flags and environment, then the server. Imports wait, so that --help is quick."""

from __future__ import annotations

import os
import sys


def main(arguments: list[str]) -> int:
    """Run the service. A mistake of the user ends with a message and exit code 2, Ctrl-C with 130."""
    # prometheus_client reads it when it is imported; a folder that was meant for others, or is not there, is not ours.
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    try:
        from pydantic import ValidationError
        from pydantic_settings import CliApp

        from service.settings import Settings, describe_faults

        try:
            settings = CliApp.run(Settings, cli_args=arguments)
        except ValidationError as error:
            return _fail(describe_faults(error))

        from service.server import CannotListenError, serve
        from textcnn.errors import TextCNNError

        try:
            return serve(settings)
        except (CannotListenError, TextCNNError) as error:
            return _fail(str(error))
    except KeyboardInterrupt:
        return 130


def _fail(message: str) -> int:
    sys.stderr.write(f"python -m service: {message}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
