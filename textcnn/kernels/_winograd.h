/* ---- Winograd's F(3, 2) and F(2, 3): windows of 2 or 3 tokens from 4 products a tile, at the points 0, 1, -1 and infinity
 *
 * A tile has the 4 inputs d_0..d_3 and the n = 5 - width outputs y_i = sum over taps j of w_j d_{i + j}:
 *
 *     y = A^T [(G w) * (B^T d)]      B^T = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 -1 0 1]
 *
 * so that a token costs 4 / n products in the place of `width`. Backward is the transposed algorithm: grad_d = B m with
 * m = (G w) * (A g), and grad_w = G^T [(A g) * (B^T d)], where G^T is the caller's. A tile's numbers depend on nothing but
 * its own inputs. `rows` [tiles][4] names the tokens d_0..d_3 of every tile, -1 for a zero.
 *
 * What is lifted to a point stays in the second-level cache, a panel of tiles at a time. Included once per instruction set,
 * from _kernels.h. */
#define NVC (VB == 64 ? 4 : 2) /* vectors of columns whose sums stay in registers */
#define ROWS 6                 /* for so many rows */
#define PANEL 96               /* tiles at most, a multiple of ROWS */
#define PANEL_FLOATS (CACHE_FLOATS * 5 / 6)
#define DEPTH 384 /* so many rows of packed weights stay in the cache beside the panel */

/* out[ROWS][PACK] (+)= a[ROWS][depth] w[depth][PACK] */
INLINE void FN(multiply_block)(const float *a, const ptrdiff_t row, const ptrdiff_t step, const float *w, ptrdiff_t pitch,
                               int64_t depth, float *out, ptrdiff_t out_pitch, int add)
{
    for (int c = 0; c < PACK; c += NVC * LF) {
        vf sum[ROWS][NVC];
        for (int r = 0; r < ROWS; r++)
            for (int i = 0; i < NVC; i++) sum[r][i] = add ? LOADF(out + r * out_pitch + c + i * LF) : (vf){0};
        for (int64_t d = 0; d < depth; d++)
            for (int i = 0; i < NVC; i++) {
                vf v = LOADF(w + d * pitch + c + i * LF);
                for (int r = 0; r < ROWS; r++) sum[r][i] += a[r * row + d * step] * v;
            }
        for (int r = 0; r < ROWS; r++)
            for (int i = 0; i < NVC; i++) STOREF(out + r * out_pitch + c + i * LF, sum[r][i]);
    }
}

/* One point of a tile's inputs (B^T) or of its outputs' gradients (A): from [tokens][dim] -> to [dim] */
INLINE void FN(lift)(const tiles_t *p, const float *from, int64_t dim, int outputs, int64_t tile, int point,
                     const float *zeros, float *restrict to)
{
    int n = 5 - p->width, skip = outputs && !p->reverse ? p->width - 1 : 0;
    const float *d[4];
    for (int m = 0; m < 4; m++) {
        int64_t row = outputs && m >= n ? -1 : p->rows[4 * tile + m + skip];
        d[m] = row < 0 ? zeros : from + row * dim;
    }
    if (outputs) {
        const float *d0 = d[0], *d1 = d[1], *d2 = d[2];
        if (point == 0 || point == 3) memcpy(to, point ? d[n - 1] : d0, (size_t)dim * sizeof(float));
        else if (point == 1) for (int64_t c = 0; c < dim; c++) to[c] = d0[c] + d2[c] + d1[c];
        else for (int64_t c = 0; c < dim; c++) to[c] = d0[c] + d2[c] - d1[c];
    } else {
        const float *a = d[point], *b = d[point == 0 || point == 1 ? 2 : 1];
        if (point == 1) for (int64_t c = 0; c < dim; c++) to[c] = a[c] + b[c];
        else for (int64_t c = 0; c < dim; c++) to[c] = a[c] - b[c];
    }
}

/* A^T m of one tile to its outputs, or B m to its inputs, added up where tiles of a text share one */
INLINE void FN(lower)(const tiles_t *p, const float *m, int64_t tile, int64_t column, int keep)
{
    const float *m0 = m, *m1 = m0 + PANEL * PACK, *m2 = m1 + PANEL * PACK, *m3 = m2 + PANEL * PACK;
    int n = 5 - p->width, skip = !p->back && !p->reverse ? p->width - 1 : 0;
    for (int i = 0; i < (p->back ? 4 : n); i++) {
        int64_t row = p->rows[4 * tile + i + skip];
        if (row < 0) continue;
        float y[PACK], *out = p->out + row * p->columns + column;
        if (p->back) {
            if (i == 0 || i == 3) memcpy(y, i ? m3 : m0, sizeof y);
            else if (i == 1) for (int c = 0; c < PACK; c++) y[c] = m1[c] - m2[c] - m3[c];
            else for (int c = 0; c < PACK; c++) y[c] = m1[c] + m2[c] - m0[c];
            if (tile && i < 4 - n && p->rows[4 * (tile - 1) + i + n] == row)
                for (int c = 0; c < keep; c++) y[c] += out[c];
        } else {
            if (i % 2) for (int c = 0; c < PACK; c++) y[c] = m1[c] - m2[c];
            else for (int c = 0; c < PACK; c++) y[c] = m1[c] + m2[c];
            if (i == 0) for (int c = 0; c < PACK; c++) y[c] += m0[c];
            if (i == n - 1) for (int c = 0; c < PACK; c++) y[c] += m3[c];
        }
        memcpy(out, y, (size_t)keep * sizeof(float));
    }
}

/* x [tokens][dim] and packed weights -> out [tokens][columns]; with `back` from the outputs' gradients to the inputs'. For
 * tiles begin..end; a text's tiles must be in one range, because their inputs overlap. */
static void FN(tile_conv)(const tiles_t *p, int64_t begin, int64_t end)
{
    int64_t most = PANEL_FLOATS / 4 / p->dim / ROWS * ROWS, blocks = (p->columns + PACK - 1) / PACK;
    if (most < ROWS) most = ROWS;
    if (most > PANEL) most = PANEL;
    float *m = aligned_alloc(64, 4 * PANEL * PACK * sizeof(float)), *zeros = calloc((size_t)p->dim, sizeof(float)),
          *lifted = calloc((size_t)(4 * most * p->dim), sizeof(float));
    if (m && zeros && lifted)
        for (int64_t panel = begin; panel < end; panel += most) {
            int64_t count = end - panel < most ? end - panel : most;
            for (int64_t t = 0; t < count; t++)
                for (int point = 0; point < 4; point++)
                    FN(lift)(p, p->x, p->dim, p->back, panel + t, point, zeros, lifted + (point * most + t) * p->dim);
            for (int64_t b = 0; b < blocks; b++) {
                for (int point = 0; point < 4; point++)
                    for (int64_t first = 0; first < p->dim; first += DEPTH) {
                        int64_t depth = p->dim - first < DEPTH ? p->dim - first : DEPTH;
                        const float *w = p->packed + ((point * blocks + b) * p->dim + first) * PACK;
                        for (int64_t t = 0; t < count; t += ROWS)
                            FN(multiply_block)(lifted + (point * most + t) * p->dim + first, p->dim, 1, w, PACK, depth,
                                               m + (point * PANEL + t) * PACK, PACK, first > 0);
                    }
                int keep = p->columns - b * PACK < PACK ? (int)(p->columns - b * PACK) : PACK;
                for (int64_t t = 0; t < count; t++) FN(lower)(p, m + t * PACK, panel + t, b * PACK, keep);
            }
        }
    else
        *p->failed = 1;
    free(m), free(zeros), free(lifted);
}

/* out [4][dim][columns] = x^T grad at every point, summed over the tiles; both padded: dim to ROWS, columns to PACK. For
 * blocks begin..end of 4 * columns / PACK. */
static void FN(tile_outer)(const tiles_t *p, int64_t begin, int64_t end)
{
    int64_t rows = (p->dim + ROWS - 1) / ROWS * ROWS, blocks = (p->columns + PACK - 1) / PACK, pitch = blocks * PACK;
    int64_t longest = p->dim > p->columns ? p->dim : p->columns;
    int first_point = (int)(begin / blocks), last_point = (int)((end - 1) / blocks);
    float *zeros = calloc((size_t)longest, sizeof(float)), *row = calloc((size_t)rows, sizeof(float)),
          *grad_row = calloc((size_t)pitch, sizeof(float)), *grad = calloc((size_t)(4 * DEPTH / 2 * pitch), sizeof(float)),
          *x = calloc((size_t)(4 * DEPTH / 2 * rows), sizeof(float)); /* at each point [rows / ROWS][depth][ROWS] */
    if (zeros && x && grad && row && grad_row)
        for (int64_t first = 0; first < p->tiles; first += DEPTH / 2) {
            int64_t depth = p->tiles - first < DEPTH / 2 ? p->tiles - first : DEPTH / 2;
            for (int64_t t = 0; t < depth; t++)
                for (int point = first_point; point <= last_point; point++) {
                    FN(lift)(p, p->grad, p->columns, 1, first + t, point, zeros, grad_row);
                    for (int64_t b = 0; b < blocks; b++)
                        memcpy(grad + ((point * blocks + b) * depth + t) * PACK, grad_row + b * PACK, PACK * sizeof(float));
                    FN(lift)(p, p->x, p->dim, 0, first + t, point, zeros, row);
                    float *to = x + point * depth * rows + t * ROWS;
                    for (int64_t c = 0; c < rows; c += ROWS) memcpy(to + c * depth, row + c, ROWS * sizeof(float));
                }
            for (int64_t at = begin; at < end; at++) {
                int64_t point = at / blocks, column = at % blocks * PACK;
                for (int64_t c = 0; c < rows; c += ROWS)
                    FN(multiply_block)(x + (point * rows + c) * depth, 1, ROWS, grad + at * depth * PACK, PACK,
                                       depth, p->out + (point * rows + c) * pitch + column, pitch, first > 0);
            }
        }
    else
        *p->failed = 1;
    free(zeros), free(x), free(grad), free(row), free(grad_row);
}

/* G w of every point: [width][columns][dim] -> packed [4][columns / PACK][dim][PACK], or with `back`
 * [4][dim / PACK][columns][PACK]. For packs begin..end; what fills up the last one is left as it is. */
#define POINTS(to, w0, w1, w2)                                                                                         \
    {                                                                                                                  \
        float even = three ? w0 + w2 : w0, odd = w1;                                                                   \
        (to)[0] = w0, (to)[point] = (even + odd) * 0.5f, (to)[2 * point] = (even - odd) * 0.5f, (to)[3 * point] = w2;  \
    }
static void FN(tile_pack)(const tiles_t *p, int64_t begin, int64_t end)
{
    int64_t rows = p->back ? p->columns : p->dim, size = p->back ? p->dim : p->columns,
            point = (size + PACK - 1) / PACK * rows * PACK, plane = p->columns * p->dim;
    const float *first = p->x + (p->reverse ? 0 : p->width - 1) * plane, *last = p->x + (p->reverse ? p->width - 1 : 0) * plane,
                *middle = p->width == 3 ? p->x + plane : last;
    int three = p->width == 3;
    for (int64_t b = begin; b < end; b++) {
        int64_t many = size - b * PACK < PACK ? size - b * PACK : PACK;
        if (p->back)
            for (int64_t r = 0; r < rows; r++) {
                float *restrict to = p->out + (b * rows + r) * PACK;
                const float *w0 = first + r * p->dim + b * PACK, *w1 = w0 + (middle - first), *w2 = w0 + (last - first);
                for (int64_t c = 0; c < many; c++) POINTS(to + c, w0[c], w1[c], w2[c])
            }
        else
            for (int64_t r0 = 0; r0 < rows; r0 += 16) /* what is written stays in the first-level cache meanwhile */
                for (int64_t c = 0; c < many; c++) {
                    float *restrict to = p->out + b * rows * PACK + c;
                    const float *w0 = first + (b * PACK + c) * p->dim, *w1 = w0 + (middle - first), *w2 = w0 + (last - first);
                    for (int64_t r = r0; r < rows && r < r0 + 16; r++) POINTS(to + r * PACK, w0[r], w1[r], w2[r])
                }
    }
}
#undef POINTS
#undef NVC
#undef ROWS
#undef PANEL
#undef PANEL_FLOATS
#undef DEPTH
