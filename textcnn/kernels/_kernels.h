/* The kernels, once per instruction set: _native.c includes this file with VB (bytes of a vector) and FN(name) set.
 *
 * Vectors are the compiler's own (vector_size), as long as the machine's registers. Loads need no alignment.
 * Every loop over positions, words or features runs in one fixed order, so that a text's numbers do not depend on its
 * batch. Rows that the caller names twice in one call would race between threads; the Python side never does.
 */
#define LF (VB / 4) /* floats in a vector */
#define LH (VB / 2) /* int16 in a vector */
typedef float FN(vf) __attribute__((vector_size(VB)));
typedef float FN(vfu) __attribute__((vector_size(VB), aligned(4), may_alias));
typedef int32_t FN(vi) __attribute__((vector_size(VB)));
typedef int32_t FN(viu) __attribute__((vector_size(VB), aligned(4), may_alias));
typedef uint32_t FN(vu) __attribute__((vector_size(VB)));
typedef uint16_t FN(vhu) __attribute__((vector_size(VB / 2), aligned(2), may_alias));
typedef int16_t FN(vs) __attribute__((vector_size(VB)));
typedef int8_t FN(vbu) __attribute__((vector_size(VB / 2), aligned(1), may_alias));
#define vf FN(vf)
#define vi FN(vi)
#define vu FN(vu)
#define vs FN(vs)
#define LOADF(p) ((vf) * (const FN(vfu) *)(p))
#define STOREF(p, v) (*(FN(vfu) *)(p) = (v))

INLINE vf FN(load_f32)(const float *p) { return LOADF(p); }

/* IEEE half to single: the processor's own conversion, or integer arithmetic, exact for all finite values too. */
INLINE vf FN(load_f16)(const uint16_t *p)
{
#if VB == 64
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#elif VB == 32
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
#else
    vu h = __builtin_convertvector(*(const FN(vhu) *)p, vu);
    vf value = (vf)((h & 0x7fff) << 13) * 0x1p112f; /* rebias the exponent from 15 to 127 */
    return (vf)((vu)value | ((h & 0x8000) << 16));
#endif
}

INLINE vs FN(load_i8)(const int8_t *p) { return __builtin_convertvector(*(const FN(vbu) *)p, vs); }

/* ---- gather_max: NV vectors of filters of one width, over all windows of one text --------------------------------- */
#define GATHER_BLOCK(NAME, ELEM, VEC, MASK, LANES, LOAD, LOWEST, OUT)                                                  \
    INLINE void NAME(const gather_t *g, const ELEM *rows, const int32_t *tokens, int length, int width, int filters,   \
                     int first, int count, const int NV, int last, OUT *out, int32_t *argmax)                          \
    {                                                                                                                  \
        VEC best[8];                                                                                                   \
        MASK at[8];                                                                                                    \
        for (int i = 0; i < NV; i++) best[i] = (VEC){0} + LOWEST, at[i] = (MASK){0};                                   \
        for (int window = 0; window < count; window++) {                                                               \
            int start = first + window;                                                                                \
            int from = start < 0 ? -start : 0, to = length - start < width ? length - start : width;                   \
            VEC sum[8];                                                                                                \
            for (int i = 0; i < NV; i++) sum[i] = (VEC){0};                                                            \
            for (int k = from; k < to; k++) {                                                                          \
                const ELEM *row = rows + (ptrdiff_t)tokens[start + k] * g->stride + (ptrdiff_t)k * filters;            \
                for (int i = 0; i < NV; i++) sum[i] += LOAD(row + (i < NV - 1 ? i * LANES : last));                    \
            }                                                                                                          \
            for (int i = 0; i < NV; i++) {                                                                             \
                MASK better = sum[i] > best[i];                                                                        \
                best[i] = (VEC)((better & (MASK)sum[i]) | (~better & (MASK)best[i]));                                  \
                if (argmax) at[i] = (better & ((MASK){0} + (__typeof__(at[0][0]))window)) | (~better & at[i]);                               \
            }                                                                                                          \
        }                                                                                                              \
        for (int i = 0; i < NV; i++)                                                                                   \
            for (int j = 0; j < LANES; j++) {                                                                          \
                int f = (i < NV - 1 ? i * LANES : last) + j;                                                           \
                out[f] = best[i][j];                                                                                   \
                if (argmax) argmax[f] = first + at[i][j];                                                              \
            }                                                                                                          \
    }

/* One filter at a time: groups narrower than a vector. */
#define GATHER_ONE(NAME, ELEM, SUM, LOAD1, LOWEST, OUT)                                                                \
    INLINE void NAME(const gather_t *g, const ELEM *rows, const int32_t *tokens, int length, int width, int filters,   \
                     int first, int count, OUT *out, int32_t *argmax)                                                  \
    {                                                                                                                  \
        SUM best = LOWEST;                                                                                             \
        int at = 0;                                                                                                    \
        for (int window = 0; window < count; window++) {                                                               \
            int start = first + window;                                                                                \
            int from = start < 0 ? -start : 0, to = length - start < width ? length - start : width;                   \
            SUM sum = 0;                                                                                               \
            for (int k = from; k < to; k++)                                                                            \
                sum += LOAD1(rows[(ptrdiff_t)tokens[start + k] * g->stride + (ptrdiff_t)k * filters]);                 \
            if (sum > best) best = sum, at = window;                                                                   \
        }                                                                                                              \
        *out = best;                                                                                                   \
        if (argmax) *argmax = first + at;                                                                              \
    }

/* All texts begin..end. Filters go in blocks of 4, 2 and 1 vectors; the last block overlaps the one before it, which
 * recomputes a few filters with the same result instead of masking. The next text's rows are prefetched meanwhile. */
#define GATHER_TEXTS(NAME, BLOCK, ONE, ELEM, LANES, OUT, SCALED)                                                       \
    static void NAME(const gather_t *g, int64_t begin, int64_t end)                                                    \
    {                                                                                                                  \
        const ELEM *rows = g->rows;                                                                                    \
        OUT *raw = SCALED ? malloc((size_t)g->features * sizeof(OUT)) : NULL;                                          \
        if (SCALED && !raw) {                                                                                          \
            *g->failed = 1;                                                                                            \
            return;                                                                                                    \
        }                                                                                                              \
        for (int64_t text = begin; text < end; text++) {                                                               \
            const int32_t *tokens = g->values + g->offsets[text];                                                      \
            int length = (int)(g->offsets[text + 1] - g->offsets[text]);                                               \
            float *out = g->out + text * g->features;                                                                  \
            int32_t *argmax = g->argmax ? g->argmax + text * g->features : NULL;                                       \
            if (length == 0) {                                                                                         \
                for (int f = 0; f < g->features; f++) out[f] = -INFINITY;                                              \
                if (argmax) for (int f = 0; f < g->features; f++) argmax[f] = INT32_MIN;                               \
                continue;                                                                                              \
            }                                                                                                          \
            for (int64_t other = text == begin ? text : text + 1; other < end && other <= text + 1; other++) {          \
                const int32_t *next = g->values + g->offsets[other];                                                   \
                int64_t ahead = g->offsets[other + 1] - g->offsets[other];                                             \
                for (int64_t t = 0; t < ahead && t < 64; t++) {                                                        \
                    const char *row = (const char *)(rows + (ptrdiff_t)next[t] * g->stride);                           \
                    for (size_t b = 0; b < (size_t)g->stride * sizeof(ELEM); b += 64) PREFETCH(row + b);               \
                }                                                                                                      \
            }                                                                                                          \
            OUT *to = SCALED ? raw : (OUT *)out;                                                                       \
            const ELEM *piece = rows;                                                                                  \
            for (int group = 0, at = 0; group < g->groups; group++) {                                                  \
                int width = g->width[group], n = g->num_filters[group], first = -g->left[group];                       \
                int count = length + g->left[group] + g->right[group] - width + 1;                                     \
                if (count < 1) count = 1; /* a shorter text is padded on the right to one window */                    \
                int f = 0;                                                                                             \
                int32_t *arg = argmax ? argmax + at : NULL;                                                            \
                while (f < n) {                                                                                        \
                    if (n < LANES || (SCALED && count > INT16_MAX)) {                                                                                \
                        ONE(g, piece + f, tokens, length, width, n, first, count, to + at + f, arg ? arg + f : NULL);  \
                        f += 1;                                                                                        \
                        continue;                                                                                      \
                    }                                                                                                  \
                    int left = n - f;                                                                                  \
                    if (left < LANES) f = n - LANES, left = LANES;                                                     \
                    int32_t *a = arg ? arg + f : NULL;                                                                 \
                    if (VB == 64 && left > 6 * LANES) {                                                                \
                        int last = left < 7 * LANES ? left - LANES : 6 * LANES;                                        \
                        if (a) BLOCK(g, piece + f, tokens, length, width, n, first, count, 7, last, to + at + f, a);   \
                        else BLOCK(g, piece + f, tokens, length, width, n, first, count, 7, last, to + at + f, NULL);  \
                        f += last + LANES;                                                                             \
                    } else if (left >= 4 * LANES) {                                                                    \
                        if (a) BLOCK(g, piece + f, tokens, length, width, n, first, count, 4, 3 * LANES, to + at + f, a);         \
                        else BLOCK(g, piece + f, tokens, length, width, n, first, count, 4, 3 * LANES, to + at + f, NULL);        \
                        f += 4 * LANES;                                                                                \
                    } else if (left >= 2 * LANES) {                                                                    \
                        if (a) BLOCK(g, piece + f, tokens, length, width, n, first, count, 2, 1 * LANES, to + at + f, a);         \
                        else BLOCK(g, piece + f, tokens, length, width, n, first, count, 2, 1 * LANES, to + at + f, NULL);        \
                        f += 2 * LANES;                                                                                \
                    } else {                                                                                           \
                        if (a) BLOCK(g, piece + f, tokens, length, width, n, first, count, 1, 0 * LANES, to + at + f, a);         \
                        else BLOCK(g, piece + f, tokens, length, width, n, first, count, 1, 0 * LANES, to + at + f, NULL);        \
                        f += LANES;                                                                                    \
                    }                                                                                                  \
                }                                                                                                      \
                piece += (ptrdiff_t)width * n;                                                                         \
                at += n;                                                                                               \
            }                                                                                                          \
            if (SCALED) for (int f = 0; f < g->features; f++) out[f] = (float)raw[f] * g->scale[f];                    \
        }                                                                                                              \
        free(raw);                                                                                                     \
    }

#define SAME(x) (x)
GATHER_BLOCK(FN(block_f32), float, vf, vi, LF, FN(load_f32), -INFINITY, float)
GATHER_BLOCK(FN(block_f16), uint16_t, vf, vi, LF, FN(load_f16), -INFINITY, float)
GATHER_BLOCK(FN(block_i8), int8_t, vs, vs, LH, FN(load_i8), INT16_MIN, int16_t)
GATHER_ONE(FN(one_f32), float, float, SAME, -INFINITY, float)
GATHER_ONE(FN(one_f16), uint16_t, float, half_to_float, -INFINITY, float)
GATHER_ONE(FN(one_i8), int8_t, int16_t, SAME, INT16_MIN, int16_t)
GATHER_TEXTS(FN(gather_f32), FN(block_f32), FN(one_f32), float, LF, float, 0)
GATHER_TEXTS(FN(gather_f16), FN(block_f16), FN(one_f16), uint16_t, LF, float, 0)
GATHER_TEXTS(FN(gather_i8), FN(block_i8), FN(one_i8), int8_t, LH, int16_t, 1)
#undef GATHER_BLOCK
#undef GATHER_ONE
#undef GATHER_TEXTS
#undef SAME

/* ---- gather_sum: out[t] = sum over j of columns j * width ... of the row of token t - j (t + j), within its text -------- */
static void FN(gather_sum)(const sums_t *g, int64_t begin, int64_t end)
{
    int64_t n = g->columns;
    for (int64_t text = begin; text < end; text++) {
        int64_t from = g->offsets[text], to = g->offsets[text + 1];
        for (int64_t t = from; t < to; t++) {
            float *restrict out = g->out + t * n;
            memcpy(out, g->rows + g->values[t] * g->window * n, (size_t)n * sizeof(float));
            for (int64_t j = 1; j < g->window; j++) {
                int64_t other = g->reverse ? t + j : t - j;
                if (other < from || other >= to) break;
                const float *restrict row = g->rows + (g->values[other] * g->window + j) * n;
                for (int64_t c = 0; c < n; c++) out[c] += row[c];
            }
        }
    }
}

/* ---- project: out[slot] = embedding[id] @ weight, weight packed in blocks of PACK columns: [C / PACK][dim][PACK] ---- */
#define NVP (PACK / LF)
INLINE void FN(project_block)(const project_t *p, int64_t first, const int n, const float *pack, int64_t column)
{
    vf sum[4][NVP];
    const float *x[4];
    for (int r = 0; r < n; r++) {
        x[r] = p->embedding + (int64_t)p->ids[first + r] * p->dim;
        for (int i = 0; i < NVP; i++) sum[r][i] = (vf){0};
    }
    for (int d = 0; d < p->dim; d++)
        for (int i = 0; i < NVP; i++) {
            vf w = LOADF(pack + (int64_t)d * PACK + i * LF);
            for (int r = 0; r < n; r++) sum[r][i] += x[r][d] * w;
        }
    int keep = p->columns - column < PACK ? (int)(p->columns - column) : PACK;
    for (int r = 0; r < n; r++) {
        float *out = p->out + (int64_t)p->slots[first + r] * p->pitch + column;
        memcpy(out, sum[r], (size_t)keep * sizeof(float));
    }
}

static void FN(project)(const project_t *p, int64_t begin, int64_t end)
{
    for (int64_t first = begin; first < end;) {
        int n = end - first >= 4 ? 4 : 1;
        for (int64_t column = 0, b = 0; column < p->columns; column += PACK, b++) {
            const float *pack = p->packed + b * p->dim * PACK;
            if (n == 4) FN(project_block)(p, first, 4, pack, column);
            else FN(project_block)(p, first, 1, pack, column);
        }
        first += n;
    }
}
#undef NVP

/* ---- affine: out[text] = x[text] @ weight.T + bias, one dot product after the other -------------------------------- */
INLINE float FN(dot)(const float *a, const float *b, int64_t n)
{
    vf s0 = {0}, s1 = {0};
    int64_t i = 0;
    for (; i + 2 * LF <= n; i += 2 * LF) s0 += LOADF(a + i) * LOADF(b + i), s1 += LOADF(a + i + LF) * LOADF(b + i + LF);
    s0 += s1;
    float sum = 0;
    for (int j = 0; j < LF; j++) sum += s0[j];
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void FN(affine)(const affine_t *a, int64_t begin, int64_t end)
{
    for (int64_t t = begin; t < end; t++)
        for (int64_t o = 0; o < a->out_dim; o++)
            a->out[t * a->out_dim + o] = FN(dot)(a->x + t * a->in_dim, a->weight + o * a->in_dim, a->in_dim) + a->bias[o];
}

/* ---- softmax of factor * logits, of which `doubt` is spread over all classes alike; in double ------------------------- */

/* e^x for x <= 0. x = k ln 2 + r with |r| <= ln 2 / 2; e^r is its Taylor polynomial, wrong by less than 2^-52; the sum
 * with 1.5 * 2^52 leaves k in the lowest bits. Without branches, so that the compiler makes vectors of it. */
INLINE double FN(exp_)(double x)
{
    union { double d; uint64_t i; } k, power;
    x = x < -708.0 ? -708.0 : x;
    k.d = x * 0x1.71547652b82fep0 + 0x1.8p52;
    double n = k.d - 0x1.8p52;
    double r = (x - n * 0x1.62e42fefa3800p-1) - n * 0x1.ef35793c76730p-45;
    double p = 1.0 / 6227020800;
    p = p * r + 1.0 / 479001600;
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    power.i = (k.i + 1023) << 52;
    return p * power.d;
}

static void FN(softmax)(const softmax_t *s, int64_t begin, int64_t end)
{
    double few[256], *row = s->classes <= 256 ? few : malloc((size_t)s->classes * sizeof(double));
    for (int64_t t = begin; t < end; t++) {
        const float *logits = s->logits + t * s->classes;
        float *out = s->out + t * s->classes;
        float most = logits[0];
        for (int64_t c = 1; c < s->classes; c++) most = logits[c] > most ? logits[c] : most;
        for (int64_t c = 0; c < s->classes; c++) row[c] = FN(exp_)(((double)logits[c] - (double)most) * s->factor);
        double sum = 0;
        for (int64_t c = 0; c < s->classes; c++) sum += row[c];
        double share = (1.0 - s->doubt) / sum, rest = s->doubt / (double)s->classes;
        for (int64_t c = 0; c < s->classes; c++) out[c] = (float)(row[c] * share + rest);
    }
    if (row != few) free(row);
}

/* ---- conv_max backward: only winning windows -------------------------------------------------------------------------
 * For filter f at offset k, `hits` lists the words that won there and with what gradient. That row of the weights and its
 * gradient stay in registers while the words' rows pass by. Works on columns first..last of the embedding only, copied to
 * aligned rows (loads and stores across cache lines cost as much again), so threads share no float and sums keep their
 * order. */
#define BACKWARD_BLOCK(NV)                                                                                             \
    for (; column + NV * LF <= pitch; column += NV * LF) {                                                             \
        vf w[NV], gw[NV];                                                                                              \
        for (int i = 0; i < NV; i++) {                                                                                 \
            w[i] = *(const vf *)(weight + column + i * LF);                                                            \
            gw[i] = (vf){0};                                                                                           \
        }                                                                                                              \
        for (int64_t n = 0; n < count; n++) {                                                                          \
            const vf *from = (const vf *)(x + (int64_t)hits[n].word * pitch + column);                                          \
            vf *to = (vf *)(grad_x + (int64_t)hits[n].word * pitch + column);                                                   \
            float g = hits[n].grad;                                                                                    \
            for (int i = 0; i < NV; i++) gw[i] += g * from[i];                                                         \
            for (int i = 0; i < NV; i++) to[i] += g * w[i];                                                            \
        }                                                                                                              \
        for (int i = 0; i < NV; i++) *(vf *)(grad_weight + column + i * LF) = gw[i];                                   \
    }

INLINE void FN(backward_row)(const hit_t *restrict hits, int64_t count, int64_t pitch, const float *restrict weight,
                             const float *restrict x, float *restrict grad_x, float *restrict grad_weight)
{
    int64_t column = 0;
#if VB == 64
    BACKWARD_BLOCK(8) /* 16 of 32 registers; with 16 registers in all there is room for 4 */
#endif
    BACKWARD_BLOCK(4)
    BACKWARD_BLOCK(1)
}

static void FN(backward_columns)(const backward_t *b, int64_t first, int64_t last)
{
    int64_t columns = last - first, pitch = (columns + LF - 1) / LF * LF;
    float *scratch = aligned_alloc(64, (size_t)((2 * b->words + 2) * pitch * 4 + 63) / 64 * 64);
    if (!scratch) {
        *b->failed = 1;
        return;
    }
    float *x = scratch, *grad_x = x + b->words * pitch, *weight = grad_x + b->words * pitch, *grad_weight = weight + pitch;
    memset(scratch, 0, (size_t)((2 * b->words + 2) * pitch) * sizeof(float));
    for (int64_t word = 0; word < b->words; word++)
        memcpy(x + word * pitch, b->x + word * b->dim + first, (size_t)columns * sizeof(float));
    const int64_t *start = b->start;
    for (int64_t group = 0, base = 0; group < b->groups; group++) {
        int64_t filters = b->num_filters[group];
        for (int64_t f = 0; f < filters; f++)
            for (int64_t k = 0; k < b->width[group]; k++, start++) {
                int64_t row = (base + k * filters + f) * b->dim + first;
                memcpy(weight, b->weight + row, (size_t)columns * sizeof(float));
                FN(backward_row)(b->hits + start[0], start[1] - start[0], pitch, weight, x, grad_x, grad_weight);
                memcpy(b->grad_weight + row, grad_weight, (size_t)columns * sizeof(float));
            }
        base += b->width[group] * filters;
    }
    if (b->grad_x)
        for (int64_t word = 0; word < b->words; word++)
            memcpy(b->grad_x + word * b->dim + first, grad_x + word * pitch, (size_t)columns * sizeof(float));
    free(scratch);
}

/* As many columns at a time as keep the words' rows and their gradients in a second-level cache. */
static void FN(conv_max_backward)(const backward_t *b, int64_t first, int64_t last)
{
    int64_t step = CACHE_FLOATS / 2 / (b->words + 1) / 64 * 64;
    if (step < 64) step = 64;
    for (; first < last; first += step) FN(backward_columns)(b, first, first + step < last ? first + step : last);
}
#undef BACKWARD_BLOCK

/* ---- row updates of the embedding: each listed row once, all others untouched -------------------------------------- */
static void FN(adadelta_rows)(const rows_t *u, int64_t begin, int64_t end)
{
    for (int64_t r = begin; r < end; r++) {
        int64_t row = u->rows ? u->rows[r] : r;
        /* the steps that this row sat out only let its two accumulators decay */
        float decay = u->last_step ? powf(u->rho, (float)(u->step - u->last_step[row] - 1)) : 1.0f;
        float *restrict p = u->param + row * u->dim, *restrict s = u->square + row * u->dim,
              *restrict d = u->second + row * u->dim;
        const float *restrict g = u->grad + r * u->dim;
        for (int64_t i = 0; i < u->dim; i++) {
            float square = s[i] * decay * u->rho + (1 - u->rho) * g[i] * g[i];
            float acc = d[i] * decay;
            float delta = sqrtf((acc + u->eps) / (square + u->eps)) * g[i];
            s[i] = square;
            d[i] = acc * u->rho + (1 - u->rho) * delta * delta;
            p[i] -= u->lr * delta;
        }
        if (u->last_step) u->last_step[row] = u->step;
    }
}

static void FN(adam_rows)(const rows_t *u, int64_t begin, int64_t end)
{
    /* lr m/c1 / (sqrt(v/c2) + eps) with the two corrections folded into the step and eps */
    float root = sqrtf(u->correct2), step = u->lr * root / u->correct1, eps = u->eps * root;
    for (int64_t r = begin; r < end; r++) {
        int64_t row = u->rows ? u->rows[r] : r;
        float *restrict p = u->param + row * u->dim, *restrict m = u->square + row * u->dim,
              *restrict v = u->second + row * u->dim;
        const float *restrict g = u->grad + r * u->dim;
        for (int64_t i = 0; i < u->dim; i++) {
            float first = u->rho * m[i] + (1 - u->rho) * g[i];
            float second = u->beta2 * v[i] + (1 - u->beta2) * g[i] * g[i];
            m[i] = first;
            v[i] = second;
            p[i] -= step * first / (sqrtf(second) + eps);
        }
    }
}

/* ---- fo_pool: h_t = f_t h_{t-1} + i_t z_t in every text by itself, channels begin..end; i = 1 - f unless given -------
 * With a bias the inputs are pre-activations: z = tanh(z + bias), the gates sigmoid(. + bias), and the output is o_t h_t.
 * The rows are walked in the order of time, so memory is read and written once, in streams, and h_{t-1} is still in the
 * cache. A vector that reaches beyond the last channel is filled up with zeros. */
INLINE vf FN(load_some)(const float *p, int64_t n)
{
    vf v = {0};
    if (n >= LF) return LOADF(p);
    memcpy(&v, p, (size_t)n * sizeof(float));
    return v;
}

INLINE void FN(store_some)(float *p, vf v, int64_t n)
{
    if (n >= LF) STOREF(p, v);
    else memcpy(p, &v, (size_t)n * sizeof(float));
}

/* e^x = 2^n e^r, |r| <= ln(2) / 2: a polynomial for e^r (Cephes expf), n added to the exponent. Within 2 ulp for |x| <= 87;
 * beyond that e^87, which is as good as infinity to a sigmoid. NaN stays NaN. */
INLINE vf FN(exponential)(vf x)
{
    vi low = x < -87.0f, high = x > 87.0f;
    x = (vf)(((vi)x & ~(low | high)) | ((vi)((vf){0} - 87.0f) & low) | ((vi)((vf){0} + 87.0f) & high));
    vf n = (x * 0x1.715476p0f + 0x1.8p23f) - 0x1.8p23f; /* x / ln 2, rounded: above 2^23 a float has no fraction */
    vf r = x - n * 0x1.63p-1f + n * 0x1.bd0106p-13f;    /* ln 2 in two parts, so that n times the first is exact */
    vf y = 1.9875691500e-4f * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    return y * (vf)((__builtin_convertvector(n, vi) + 127) << 23);
}

INLINE vf FN(sigmoid)(vf x) { return 1.0f / (1.0f + FN(exponential)(-x)); }
INLINE vf FN(hyperbolic_tangent)(vf x) { return 1.0f - 2.0f / (1.0f + FN(exponential)(2.0f * x)); }

typedef struct {
    vf z, f, o, i;
} FN(gates_t);

/* The activations at channel c of row t; n channels are left. */
INLINE FN(gates_t) FN(gates)(const pool_t *p, int64_t t, int64_t c, int64_t n, const int active, const int has_o, const int has_i)
{
    int64_t at = t * p->pitch + c;
    FN(gates_t) a = {.z = FN(load_some)(p->z + at, n), .f = FN(load_some)(p->f + at, n)};
    if (has_o) a.o = FN(load_some)(p->o + at, n);
    if (has_i) a.i = FN(load_some)(p->i + at, n);
    if (active) {
        const float *bias = p->bias + c;
        a.z = FN(hyperbolic_tangent)(a.z + FN(load_some)(bias, n));
        a.f = FN(sigmoid)(a.f + FN(load_some)(bias + p->dim, n));
        if (has_o) a.o = FN(sigmoid)(a.o + FN(load_some)(bias + 2 * p->dim, n));
        if (has_i) a.i = FN(sigmoid)(a.i + FN(load_some)(bias + 3 * p->dim, n));
    }
    if (!has_i) a.i = 1.0f - a.f;
    return a;
}

INLINE void FN(fo_pool_as)(const pool_t *p, int64_t begin, int64_t end, const int active, const int has_o, const int has_i)
{
    for (int64_t text = 0; text < p->texts; text++) {
        int64_t from = p->offsets[text], to = p->offsets[text + 1], step = p->reverse ? -1 : 1;
        const float *before = p->initial ? p->initial + text * p->dim : NULL;
        for (int64_t t = p->reverse ? to - 1 : from; from <= t && t < to; t += step) {
            float *h = p->h + t * p->dim;
            for (int64_t c = begin; c < end; c += LF) {
                int64_t n = end - c;
                FN(gates_t) a = FN(gates)(p, t, c, n, active, has_o, has_i);
                vf now = a.i * a.z;
                if (before) now += a.f * FN(load_some)(before + c, n);
                FN(store_some)(h + c, now, n);
                if (has_o) FN(store_some)(p->out + t * p->dim + c, a.o * now, n);
            }
            before = h;
        }
    }
}

/* Back through time. The part of dL/dh_t that comes from h_{t+1} is carried in grad_initial, where it ends. */
INLINE void FN(fo_pool_backward_as)(const pool_t *p, int64_t begin, int64_t end, const int active, const int has_o, const int has_i)
{
    int64_t d = p->dim;
    for (int64_t text = 0; text < p->texts; text++) {
        int64_t from = p->offsets[text], to = p->offsets[text + 1], step = p->reverse ? -1 : 1;
        int64_t first = p->reverse ? to - 1 : from, last = p->reverse ? from : to - 1;
        float *carry = p->grad_initial + text * d;
        for (int64_t c = begin; c < end; c++) carry[c] = 0.0f;
        for (int64_t t = last; from <= t && t < to; t -= step) {
            const float *before = t == first ? (p->initial ? p->initial + text * d : NULL) : p->h + (t - step) * d;
            for (int64_t c = begin; c < end; c += LF) {
                int64_t n = end - c, at = t * p->pitch + c;
                FN(gates_t) a = FN(gates)(p, t, c, n, active, has_o, has_i), g; /* g: dL / d activation */
                vf out = FN(load_some)(p->grad + t * d + c, n), h = before ? FN(load_some)(before + c, n) : (vf){0};
                vf up = FN(load_some)(carry + c, n) + (has_o ? out * a.o : out); /* dL / dh_t */
                g.z = up * a.i;
                g.f = has_i ? up * h : up * (h - a.z);
                g.i = up * a.z;
                if (has_o) g.o = out * FN(load_some)(p->h + t * d + c, n);
                if (active) {
                    float *bias = p->grad_bias + c;
                    g.z *= 1.0f - a.z * a.z;
                    g.f *= a.f * (1.0f - a.f);
                    FN(store_some)(bias, FN(load_some)(bias, n) + g.z, n);
                    FN(store_some)(bias + d, FN(load_some)(bias + d, n) + g.f, n);
                    if (has_o) {
                        g.o *= a.o * (1.0f - a.o);
                        FN(store_some)(bias + 2 * d, FN(load_some)(bias + 2 * d, n) + g.o, n);
                    }
                    if (has_i) {
                        g.i *= a.i * (1.0f - a.i);
                        FN(store_some)(bias + 3 * d, FN(load_some)(bias + 3 * d, n) + g.i, n);
                    }
                }
                FN(store_some)(p->grad_z + at, g.z, n);
                FN(store_some)(p->grad_f + at, g.f, n);
                if (has_o) FN(store_some)(p->grad_o + at, g.o, n);
                if (has_i) FN(store_some)(p->grad_i + at, g.i, n);
                FN(store_some)(carry + c, up * a.f, n);
            }
        }
    }
}

/* f and ifo without activations, or f, fo and ifo with: one copy of the loops each. */
#define EACH_POOLING(run)                                                                                              \
    {                                                                                                                  \
        if (!p->bias && !p->i) run(p, begin, end, 0, 0, 0);                                                            \
        else if (!p->bias) run(p, begin, end, 0, 0, 1);                                                                \
        else if (p->i) run(p, begin, end, 1, 1, 1);                                                                    \
        else if (p->o) run(p, begin, end, 1, 1, 0);                                                                    \
        else run(p, begin, end, 1, 0, 0);                                                                              \
    }
static void FN(fo_pool)(const pool_t *p, int64_t begin, int64_t end) EACH_POOLING(FN(fo_pool_as))
static void FN(fo_pool_backward)(const pool_t *p, int64_t begin, int64_t end) EACH_POOLING(FN(fo_pool_backward_as))
#undef EACH_POOLING

/* ---- merge: what filters with the same window of tokens contribute, added up ---------------------------------------- */

/* Texts begin..end, whose arrays begin at text `begin`; `count` windows are out already. Each place where a window can
 * begin has a cell for every length, so that the windows come out in order; what adds nothing has the cell behind them.
 * Returns how many windows are out then, or -1 without memory. */
static int64_t FN(merge)(const merge_t *m, cells_t *c, int64_t begin, int64_t end, int64_t count)
{
    for (int64_t text = begin; text < end; text++) {
        const float *restrict a = m->activations + (text - begin) * m->features;
        const float *restrict w = m->weight + m->targets[text] * m->features;
        const int32_t *restrict first = m->first + (text - begin) * m->features;
        const int32_t *restrict last = m->last + (text - begin) * m->features;
        double *restrict added = c->added;
        int32_t *restrict of = c->of;
        int32_t length = (int32_t)(m->offsets[text + 1] - m->offsets[text]), widest = 0;
        for (int64_t f = 0; f < m->features; f++) {
            int32_t from = first[f] < 0 ? 0 : first[f], to = last[f] > length ? length : last[f];
            widest = to - from > widest ? to - from : widest;
        }
        int32_t cells = widest * length;
        if (cells >= c->room) {
            free(c->cells), free(c->number);
            c->room = 2 * (int64_t)cells + 1;
            c->cells = calloc((size_t)c->room, sizeof(double));
            c->number = calloc((size_t)c->room, sizeof(int32_t));
            if (!c->cells || !c->number) return -1;
        }
        double *restrict total = c->cells;
        int32_t *restrict number = c->number;
        for (int64_t f = 0; f < m->features; f++) {
            int32_t from = first[f] < 0 ? 0 : first[f], to = last[f] > length ? length : last[f];
            double product = (double)a[f] * w[f];
            added[f] = product;
            of[f] = product == 0.0 || to <= from ? cells : from * widest + to - from - 1;
        }
        for (int64_t f = 0; f < m->features; f++) total[of[f]] += added[f], number[of[f]] = 1;
        for (int32_t from = 0, cell = 0; from < length; from++)
            for (int32_t size = 1; size <= widest; size++, cell++) {
                /* every cell is written, and the next one over it where there is nothing: quicker than to ask */
                m->out_first[count] = from, m->out_last[count] = from + size, m->out[count] = total[cell];
                int32_t there = number[cell];
                total[cell] = 0.0, number[cell] = (int32_t)count;
                count += there;
            }
        total[cells] = 0.0, number[cells] = -1;
        if (m->slots)
            for (int64_t f = 0; f < m->features; f++) m->slots[text * m->features + f] = number[of[f]];
        memset(number, 0, ((size_t)cells + 1) * sizeof(int32_t));
        m->out_offsets[text + 1] = count;
    }
    return count;
}

#include "_winograd.h"

const kernels_t FN(kernels) = {FN(gather_f32), FN(gather_f16), FN(gather_i8), FN(gather_sum), FN(project), FN(affine),
                               FN(softmax), FN(conv_max_backward), FN(adadelta_rows), FN(adam_rows), FN(fo_pool),
                               FN(fo_pool_backward), FN(tile_pack), FN(tile_conv), FN(tile_outer),
                               FN(merge)};
#undef vf
#undef vi
#undef vu
#undef vs
#undef LF
#undef LH
#undef LOADF
#undef STOREF
