/* ---- Winograd's F(3, 2) and F(2, 3): windows of 2 or 3 tokens from 4 products a tile, at the points 0, 1, -1 and infinity
 *
 * A tile has the 4 inputs d_0..d_3 and the n = 5 - width outputs y_i = sum over taps j of w_j d_{i + j}:
 *
 *     y = A^T [(G w) * (B^T d)]      B^T = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 -1 0 1]
 *
 * so that a token costs 4 / n products in the place of `width`. Backward is the transposed algorithm: grad_d = B m with
 * m = (G w) * (A g), and grad_w = G^T [(A g) * (B^T d)]. `lift` does B^T and A, `multiply` the products and A^T or B,
 * `outer` the products of grad_w; G is the caller's. A tile's numbers depend on nothing but its own inputs.
 *
 * `rows` [tiles][4] names the tokens d_0..d_3 of every tile, -1 for a zero. Tiles come in fours; lifted rows are `pitch`
 * floats long and filled up with zeros. Included once per instruction set, from _kernels.h. */
#define NVC (VB == 64 ? 4 : 2) /* vectors of columns whose sums stay in registers, for 4 rows */
#define TILES 64               /* a panel whose products are waiting to be combined */
#define DEPTH 384              /* so many rows of packed weights stay in a second-level cache */

/* out[4][PACK] (+)= a[4][depth] w[depth][PACK] */
INLINE void FN(multiply_block)(const float *a, const ptrdiff_t row, const ptrdiff_t step, const float *w, ptrdiff_t pitch,
                               int64_t depth, float *out, ptrdiff_t out_pitch, int add)
{
    for (int c = 0; c < PACK; c += NVC * LF) {
        vf sum[4][NVC];
        for (int r = 0; r < 4; r++)
            for (int i = 0; i < NVC; i++)
                sum[r][i] = add ? LOADF(out + r * out_pitch + c + i * LF) : (vf){0};
        for (int64_t d = 0; d < depth; d++)
            for (int i = 0; i < NVC; i++) {
                vf v = LOADF(w + d * pitch + c + i * LF);
                for (int r = 0; r < 4; r++) sum[r][i] += a[r * row + d * step] * v;
            }
        for (int r = 0; r < 4; r++)
            for (int i = 0; i < NVC; i++) STOREF(out + r * out_pitch + c + i * LF, sum[r][i]);
    }
}

/* from [tokens][dim] -> to [4][tiles][pitch]: B^T of a tile's inputs or, with `outputs`, A of its outputs' gradients */
static void FN(lift)(const lift_t *p, int64_t begin, int64_t end)
{
    int n = 5 - p->width, skip = p->outputs && !p->reverse ? p->width - 1 : 0;
    int64_t plane = p->tiles * p->pitch, dim = p->dim;
    float *zeros = calloc((size_t)dim + 1, sizeof(float));
    if (!zeros) return;
    for (int64_t t = begin; t < end; t++) {
        const float *d[4];
        for (int m = 0; m < 4; m++) {
            int64_t row = p->outputs && m >= n ? -1 : p->rows[4 * t + m + skip];
            d[m] = row < 0 ? zeros : p->from + row * dim;
        }
        const float *d0 = d[0], *d1 = d[1], *d2 = d[2], *d3 = d[3], *last = d[n - 1];
        float *restrict m0 = p->to + t * p->pitch, *restrict m1 = m0 + plane, *restrict m2 = m1 + plane, *restrict m3 = m2 + plane;
        if (p->outputs)
            for (int64_t c = 0; c < dim; c++) {
                float even = d0[c] + d2[c];
                m0[c] = d0[c], m1[c] = even + d1[c], m2[c] = even - d1[c], m3[c] = last[c];
            }
        else
            for (int64_t c = 0; c < dim; c++)
                m0[c] = d0[c] - d2[c], m1[c] = d1[c] + d2[c], m2[c] = d2[c] - d1[c], m3[c] = d3[c] - d1[c];
        for (int m = 0; m < 4; m++) memset(m0 + m * plane + dim, 0, (size_t)(p->pitch - dim) * sizeof(float));
    }
    free(zeros);
}

/* A^T m of one tile to its outputs, or B m added up where tiles of a text share an input */
INLINE void FN(lower)(const multiply_t *p, const float *m, int64_t t, int64_t column, int keep)
{
    const float *m0 = m, *m1 = m0 + TILES * PACK, *m2 = m1 + TILES * PACK, *m3 = m2 + TILES * PACK;
    int n = 5 - p->width, skip = !p->inputs && !p->reverse ? p->width - 1 : 0;
    for (int i = 0; i < (p->inputs ? 4 : n); i++) {
        int64_t row = p->rows[4 * t + i + skip];
        if (row < 0) continue;
        float y[PACK], *out = p->out + row * p->columns + column;
        if (p->inputs) {
            if (i == 0) memcpy(y, m0, sizeof y);
            else if (i == 3) memcpy(y, m3, sizeof y);
            else if (i == 1) for (int c = 0; c < PACK; c++) y[c] = m1[c] - m2[c] - m3[c];
            else for (int c = 0; c < PACK; c++) y[c] = m1[c] + m2[c] - m0[c];
            if (t && i < 4 - n && p->rows[4 * (t - 1) + i + n] == row)
                for (int c = 0; c < keep; c++) y[c] += out[c];
        } else {
            for (int c = 0; c < PACK; c++) y[c] = i % 2 ? m1[c] - m2[c] : m1[c] + m2[c];
            if (i == 0) for (int c = 0; c < PACK; c++) y[c] += m0[c];
            if (i == n - 1) for (int c = 0; c < PACK; c++) y[c] += m3[c];
        }
        memcpy(out, y, (size_t)keep * sizeof(float));
    }
}

/* lifted [4][tiles][pitch] times packed [4][columns / PACK][dim][PACK] -> out [tokens][columns], for tiles begin..end; a
 * text's tiles must be in one range, because their rows of `inputs` overlap */
static void FN(multiply)(const multiply_t *p, int64_t begin, int64_t end)
{
    float *m = aligned_alloc(64, 4 * TILES * PACK * sizeof(float));
    if (!m) return;
    int64_t blocks = (p->columns + PACK - 1) / PACK;
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t panel = begin; panel < end; panel += TILES) {
            int64_t count = end - panel < TILES ? end - panel : TILES;
            for (int point = 0; point < 4; point++)
                for (int64_t first = 0; first < p->dim; first += DEPTH) {
                    int64_t depth = p->dim - first < DEPTH ? p->dim - first : DEPTH;
                    const float *w = p->packed + ((point * blocks + b) * p->dim + first) * PACK;
                    for (int64_t t = 0; t < count; t += 4)
                        FN(multiply_block)(p->lifted + (point * p->tiles + panel + t) * p->pitch + first, p->pitch, 1, w, PACK,
                                           depth, m + (point * TILES + t) * PACK, PACK, first > 0);
                }
            int keep = p->columns - b * PACK < PACK ? (int)(p->columns - b * PACK) : PACK;
            for (int64_t t = 0; t < count; t++) FN(lower)(p, m + t * PACK, panel + t, b * PACK, keep);
        }
    free(m);
}

/* out[4][x_pitch][y_pitch] = x^T y summed over tiles, for column blocks begin..end of 4 * y_pitch / PACK */
static void FN(outer)(const outer_t *p, int64_t begin, int64_t end)
{
    const int64_t most = DEPTH / 2;
    float *fours = aligned_alloc(64, (size_t)(most * p->x_pitch) * sizeof(float)); /* x as [x_pitch / 4][depth][4] */
    if (!fours) return;
    int64_t blocks = p->y_pitch / PACK;
    for (int point = 0; point < 4; point++) {
        int64_t from = begin - point * blocks, to = end - point * blocks;
        if (from < 0) from = 0;
        if (to > blocks) to = blocks;
        if (from >= to) continue;
        for (int64_t first = 0; first < p->tiles; first += most) {
            int64_t depth = p->tiles - first < most ? p->tiles - first : most;
            const float *x = p->x + (point * p->tiles + first) * p->x_pitch;
            for (int64_t t = 0; t < depth; t++)
                for (int64_t c = 0; c < p->x_pitch; c += 4)
                    memcpy(fours + (c / 4 * depth + t) * 4, x + t * p->x_pitch + c, 4 * sizeof(float));
            for (int64_t b = from; b < to; b++)
                for (int64_t c = 0; c < p->x_pitch; c += 4)
                    FN(multiply_block)(fours + c * depth, 1, 4, p->y + (point * p->tiles + first) * p->y_pitch + b * PACK,
                                       p->y_pitch, depth, p->out + (point * p->x_pitch + c) * p->y_pitch + b * PACK,
                                       p->y_pitch, first > 0);
        }
    }
    free(fours);
}
#undef NVC
#undef TILES
#undef DEPTH
