/* Compiled kernels of textcnn: C11 over Python buffers; every function releases the GIL while it works.
 *
 * table_gather.py, conv_max.py, row_updates.py, fo_pool.py and ngram_linear.py check shapes and types and hold the plain reference of
 * each kernel; nothing here is called from anywhere else. The kernels themselves are in _kernels.h, compiled for each
 * instruction set and chosen once at import.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define PREFETCH(p) __builtin_prefetch((p), 0, 2)
#define INTERFACE "e738b03b" /* as in native.py, which says what it is of */
#define PACK 64
#define CACHE_FLOATS (192 * 1024) /* of a second-level cache of 1 MB, three quarters */

typedef struct {
    const void *rows;      /* a row a word: for each group its offsets k = 0..width-1, num_filters elements each */
    ptrdiff_t stride;      /* elements of a row */
    const int32_t *values; /* row number of every token */
    const int64_t *offsets;
    int groups; /* filter widths */
    const int32_t *width, *num_filters, *left, *right;
    int features;       /* sum of num_filters */
    const float *scale; /* int8: value of one unit, a feature each */
    float *out;         /* [texts, features]; -inf where the text is empty */
    int32_t *argmax;    /* [texts, features]: start of the winning window, INT32_MIN where the text is empty; or NULL */
    int *failed;        /* set to 1 where there is no memory */
} gather_t;

typedef struct {
    const float *rows; /* a row a word: `window` times `columns` */
    const int32_t *values;
    const int64_t *offsets;
    float *out; /* [tokens, columns] */
    int64_t window, columns;
    int reverse;
} sums_t;

typedef struct {
    const float *embedding, *packed;
    const int32_t *ids, *slots;
    float *out;
    int64_t dim, columns, pitch;
} project_t;

typedef struct {
    const float *x, *weight, *bias;
    float *out;
    int64_t in_dim, out_dim;
} affine_t;

typedef struct {
    const float *logits;
    float *out; /* both [texts, classes] */
    int64_t classes;
    double factor, doubt;
} softmax_t;

typedef struct {
    int32_t word;
    float grad;
} hit_t;

typedef struct {
    const hit_t *hits;    /* which words won, for every filter at every offset, filters outermost */
    const int64_t *start; /* [rows + 1]: where each one's hits begin */
    const int32_t *width, *num_filters;
    int64_t groups, words, dim;
    const float *x, *weight;
    float *grad_x, *grad_weight; /* grad_x may be NULL */
    int *failed;                 /* set to 1 where there is no memory */
} backward_t;

typedef struct {
    const int64_t *rows; /* NULL: row r of grad belongs to row r of param */
    const float *grad;
    float *param, *square, *second;
    int64_t *last_step;
    int64_t dim, step;
    float lr, rho, beta2, eps, correct1, correct2;
} rows_t;

typedef struct {
    const float *z, *f, *o, *i; /* a row every `pitch` floats; without activations there is no o, i may be NULL */
    const float *bias;          /* of z, f, o and i one after the other; NULL: the inputs are activations */
    const float *initial;       /* [texts, dim] or NULL: zeros */
    const int64_t *offsets;
    float *h, *out; /* [N, dim]: states; o_t h_t, if there is an o */
    const float *grad;
    float *grad_z, *grad_f, *grad_o, *grad_i, *grad_bias, *grad_initial;
    int64_t texts, dim, pitch;
    int reverse;
} pool_t;

typedef struct {
    const float *x, *grad, *packed; /* [tokens, dim]; [tokens, columns] */
    const int64_t *rows;
    float *out;
    int64_t dim, columns, tiles;
    int width, reverse, back;
    int *failed; /* set to 1 where there is no memory */
} tiles_t;

typedef struct {
    const float *activations, *weight;
    const int32_t *first, *last;
    const int64_t *targets, *offsets;
    int64_t features;
    int64_t *out_offsets, *out_first, *out_last; /* room for one window more than there are features */
    double *out;
    int32_t *slots; /* or NULL */
} merge_t;

typedef struct {
    double *added, *cells; /* [features]; [room], zeros */
    int32_t *of, *number;  /* [features]; [room], zeros */
    int64_t room;
} cells_t;

typedef struct {
    void (*gather_f32)(const gather_t *, int64_t, int64_t);
    void (*gather_f16)(const gather_t *, int64_t, int64_t);
    void (*gather_i8)(const gather_t *, int64_t, int64_t);
    void (*gather_sum)(const sums_t *, int64_t, int64_t);
    void (*project)(const project_t *, int64_t, int64_t);
    void (*affine)(const affine_t *, int64_t, int64_t);
    void (*softmax)(const softmax_t *, int64_t, int64_t);
    void (*conv_max_backward)(const backward_t *, int64_t, int64_t);
    void (*adadelta_rows)(const rows_t *, int64_t, int64_t);
    void (*adam_rows)(const rows_t *, int64_t, int64_t);
    void (*fo_pool)(const pool_t *, int64_t, int64_t);
    void (*fo_pool_backward)(const pool_t *, int64_t, int64_t);
    void (*tile_pack)(const tiles_t *, int64_t, int64_t);
    void (*tile_conv)(const tiles_t *, int64_t, int64_t);
    void (*tile_outer)(const tiles_t *, int64_t, int64_t);
    int64_t (*merge)(const merge_t *, cells_t *, int64_t, int64_t, int64_t);
} kernels_t;

INLINE float half_to_float(uint16_t h)
{
    union { uint32_t u; float f; } v = {(uint32_t)(h & 0x7fff) << 13};
    v.f *= 0x1p112f;
    v.u |= (uint32_t)(h & 0x8000) << 16;
    return v.f;
}

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)

#define VB 16
#define FN(name) JOIN(name, base)
#include "_kernels.h"
#undef VB
#undef FN

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SEVERAL 1
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define VB 32
#define FN(name) JOIN(name, v3)
#include "_kernels.h"
#undef VB
#undef FN
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#define VB 64
#define FN(name) JOIN(name, v4)
#include "_kernels.h"
#undef VB
#undef FN
#pragma GCC pop_options
#endif

static const kernels_t *kernels = &kernels_base;
static const char *instruction_set = "base";

static void choose(void)
{
#ifdef SEVERAL
    __builtin_cpu_init();
    int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
    const char *most = getenv("TEXTCNN_INSTRUCTION_SET"); /* tests run every set that this machine has */
    if (most && !strcmp(most, "base")) v3 = v4 = 0;
    if (most && !strcmp(most, "v3")) v4 = 0;
    if (v4) kernels = &kernels_v4, instruction_set = "x86-64-v4";
    else if (v3) kernels = &kernels_v3, instruction_set = "x86-64-v3";
#endif
}

/* ---- arguments ------------------------------------------------------------------------------------------------------ */

typedef struct {
    Py_buffer views[24];
    int used;
    int failed;
} buffers_t;

/* The data of a C-contiguous array, or NULL for None. Sets `failed` with an exception otherwise; a kernel without memory
 * sets it without one. */
static void *take(buffers_t *b, PyObject *array, int writable)
{
    if (b->failed || array == Py_None) return NULL;
    int flags = PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(array, &b->views[b->used], flags) < 0) {
        b->failed = 1;
        return NULL;
    }
    return b->views[b->used++].buf;
}

static void release(buffers_t *b)
{
    for (int i = 0; i < b->used; i++) PyBuffer_Release(&b->views[i]);
}

static PyObject *finish(buffers_t *b)
{
    release(b);
    if (b->failed) return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    Py_RETURN_NONE;
}

#define RUN(call)                                                                                                      \
    if (!b.failed) {                                                                                                   \
        Py_BEGIN_ALLOW_THREADS call;                                                                                   \
        Py_END_ALLOW_THREADS                                                                                           \
    }                                                                                                                  \
    return finish(&b)

static PyObject *gather_max(PyObject *self, PyObject *args)
{
    PyObject *rows, *values, *offsets, *width, *filters, *left, *right, *scale, *out, *argmax;
    gather_t g = {0};
    buffers_t b = {0};
    long long stride, begin, end;
    int precision;
    if (!PyArg_ParseTuple(args, "OLiOOOOOOiiOOOLL", &rows, &stride, &precision, &values, &offsets, &width, &filters,
                          &left, &right, &g.groups, &g.features, &scale, &out, &argmax, &begin, &end))
        return NULL;
    g.stride = stride;
    g.rows = take(&b, rows, 0);
    g.values = take(&b, values, 0);
    g.offsets = take(&b, offsets, 0);
    g.width = take(&b, width, 0);
    g.num_filters = take(&b, filters, 0);
    g.left = take(&b, left, 0);
    g.right = take(&b, right, 0);
    g.scale = take(&b, scale, 0);
    g.out = take(&b, out, 1);
    g.argmax = take(&b, argmax, 1);
    g.failed = &b.failed;
    RUN((precision == 4 ? kernels->gather_f32 : precision == 2 ? kernels->gather_f16 : kernels->gather_i8)(&g, begin, end));
}

static PyObject *gather_sum(PyObject *self, PyObject *args)
{
    PyObject *rows, *values, *offsets, *out;
    sums_t g = {0};
    buffers_t b = {0};
    long long window, columns, begin, end;
    if (!PyArg_ParseTuple(args, "OOOOLLpLL", &rows, &values, &offsets, &out, &window, &columns, &g.reverse, &begin, &end))
        return NULL;
    g.rows = take(&b, rows, 0);
    g.values = take(&b, values, 0);
    g.offsets = take(&b, offsets, 0);
    g.out = take(&b, out, 1);
    g.window = window, g.columns = columns;
    RUN(kernels->gather_sum(&g, begin, end));
}

static PyObject *project(PyObject *self, PyObject *args)
{
    PyObject *embedding, *packed, *ids, *slots, *out;
    project_t p = {0};
    buffers_t b = {0};
    long long dim, columns, pitch, begin, end;
    if (!PyArg_ParseTuple(args, "OOOOOLLLLL", &embedding, &packed, &ids, &slots, &out, &dim, &columns, &pitch, &begin, &end))
        return NULL;
    p.embedding = take(&b, embedding, 0);
    p.packed = take(&b, packed, 0);
    p.ids = take(&b, ids, 0);
    p.slots = take(&b, slots, 0);
    p.out = take(&b, out, 1);
    p.dim = dim, p.columns = columns, p.pitch = pitch;
    RUN(kernels->project(&p, begin, end));
}

static PyObject *affine(PyObject *self, PyObject *args)
{
    PyObject *x, *weight, *bias, *out;
    affine_t a = {0};
    buffers_t b = {0};
    long long in_dim, out_dim, begin, end;
    if (!PyArg_ParseTuple(args, "OOOOLLLL", &x, &weight, &bias, &out, &in_dim, &out_dim, &begin, &end)) return NULL;
    a.x = take(&b, x, 0);
    a.weight = take(&b, weight, 0);
    a.bias = take(&b, bias, 0);
    a.out = take(&b, out, 1);
    a.in_dim = in_dim, a.out_dim = out_dim;
    RUN(kernels->affine(&a, begin, end));
}

/* Room for `merge` to work in; `cells` and `number` grow with the texts. */
static int cells_for(cells_t *c, int64_t features)
{
    *c = (cells_t){malloc(sizeof(double) * (size_t)(features + 1)), NULL, malloc(sizeof(int32_t) * (size_t)(features + 1))};
    return c->added && c->of;
}

static void free_cells(cells_t *c)
{
    free(c->added), free(c->of), free(c->cells), free(c->number);
}

static PyObject *softmax(PyObject *self, PyObject *args)
{
    PyObject *logits, *out;
    softmax_t s = {0};
    buffers_t b = {0};
    long long classes, begin, end;
    if (!PyArg_ParseTuple(args, "OOLddLL", &logits, &out, &classes, &s.factor, &s.doubt, &begin, &end)) return NULL;
    s.logits = take(&b, logits, 0);
    s.out = take(&b, out, 1);
    s.classes = classes;
    RUN(kernels->softmax(&s, begin, end));
}

/* The winning windows of a batch: for each width, filter and offset the words that won and their gradient. `hits` has
 * room for texts * rows, `start` is int64[rows + 1], `scratch` room for texts. Returns how many hits. */
static PyObject *winners(PyObject *self, PyObject *args)
{
    PyObject *values_o, *offsets_o, *width_o, *filters_o, *argmax_o, *grad_o, *hits_o, *start_o, *scratch_o;
    buffers_t b = {0};
    long long texts, features;
    int groups;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOLiL", &values_o, &offsets_o, &width_o, &filters_o, &argmax_o, &grad_o, &hits_o,
                          &start_o, &scratch_o, &texts, &groups, &features))
        return NULL;
    const int32_t *values = take(&b, values_o, 0);
    const int64_t *offsets = take(&b, offsets_o, 0);
    const int32_t *widths = take(&b, width_o, 0), *num_filters = take(&b, filters_o, 0);
    const int32_t *argmax = take(&b, argmax_o, 0);
    const float *grad = take(&b, grad_o, 0);
    hit_t *hits = take(&b, hits_o, 1), *won = take(&b, scratch_o, 1);
    int64_t *start = take(&b, start_o, 1), count = 0;
    if (!b.failed) {
        Py_BEGIN_ALLOW_THREADS
        *start++ = 0;
        for (int64_t group = 0, feature = 0; group < groups; group++)
            for (int64_t f = 0; f < num_filters[group]; f++, feature++) {
                int64_t n = 0;
                for (int64_t text = 0; text < texts; text++) {
                    float g = grad[text * features + feature];
                    if (g != 0.0f && argmax[text * features + feature] != INT32_MIN) won[n++] = (hit_t){(int32_t)text, g};
                }
                for (int64_t k = 0; k < widths[group]; k++) {
                    for (int64_t i = 0; i < n; i++) {
                        int64_t text = won[i].word, t = argmax[text * features + feature] + k;
                        if (t >= 0 && t < offsets[text + 1] - offsets[text])
                            hits[count++] = (hit_t){values[offsets[text] + t], won[i].grad};
                    }
                    *start++ = count;
                }
            }
        Py_END_ALLOW_THREADS
    }
    PyObject *none = finish(&b);
    if (!none) return NULL;
    Py_DECREF(none);
    return PyLong_FromLongLong(count);
}

static PyObject *conv_max_backward(PyObject *self, PyObject *args)
{
    PyObject *hits, *start, *width, *filters, *x, *weight, *grad_x, *grad_weight;
    backward_t c = {0};
    buffers_t b = {0};
    long long words, dim, groups, begin, end;
    if (!PyArg_ParseTuple(args, "OOOOOOOOLLLLL", &hits, &start, &width, &filters, &x, &weight, &grad_x, &grad_weight,
                          &words, &dim, &groups, &begin, &end))
        return NULL;
    c.hits = take(&b, hits, 0);
    c.start = take(&b, start, 0);
    c.width = take(&b, width, 0);
    c.num_filters = take(&b, filters, 0);
    c.x = take(&b, x, 0);
    c.weight = take(&b, weight, 0);
    c.grad_x = take(&b, grad_x, 1);
    c.grad_weight = take(&b, grad_weight, 1);
    c.words = words, c.dim = dim, c.groups = groups;
    c.failed = &b.failed;
    RUN(kernels->conv_max_backward(&c, begin, end));
}

static PyObject *adadelta_rows(PyObject *self, PyObject *args)
{
    PyObject *rows, *grad, *param, *square, *delta, *last_step;
    rows_t u = {0};
    buffers_t b = {0};
    long long dim, step, begin, end;
    if (!PyArg_ParseTuple(args, "OOOOOOLLfffLL", &rows, &grad, &param, &square, &delta, &last_step, &dim, &step, &u.lr,
                          &u.rho, &u.eps, &begin, &end))
        return NULL;
    u.rows = take(&b, rows, 0);
    u.grad = take(&b, grad, 0);
    u.param = take(&b, param, 1);
    u.square = take(&b, square, 1);
    u.second = take(&b, delta, 1);
    u.last_step = take(&b, last_step, 1);
    u.dim = dim, u.step = step;
    RUN(kernels->adadelta_rows(&u, begin, end));
}

static PyObject *adam_rows(PyObject *self, PyObject *args)
{
    PyObject *rows, *grad, *param, *first, *second;
    rows_t u = {0};
    buffers_t b = {0};
    long long dim, begin, end;
    if (!PyArg_ParseTuple(args, "OOOOOLffffffLL", &rows, &grad, &param, &first, &second, &dim, &u.lr, &u.rho, &u.beta2,
                          &u.eps, &u.correct1, &u.correct2, &begin, &end))
        return NULL;
    u.rows = take(&b, rows, 0);
    u.grad = take(&b, grad, 0);
    u.param = take(&b, param, 1);
    u.square = take(&b, first, 1);
    u.second = take(&b, second, 1);
    u.dim = dim;
    RUN(kernels->adam_rows(&u, begin, end));
}

static PyObject *fo_pool(PyObject *self, PyObject *args)
{
    PyObject *z, *f, *o, *i, *bias, *initial, *offsets, *h, *out;
    pool_t p = {0};
    buffers_t b = {0};
    long long texts, dim, pitch, begin, end;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOLLLpLL", &z, &f, &o, &i, &bias, &initial, &offsets, &h, &out, &texts, &dim, &pitch,
                          &p.reverse, &begin, &end))
        return NULL;
    p.z = take(&b, z, 0);
    p.f = take(&b, f, 0);
    p.o = take(&b, o, 0);
    p.i = take(&b, i, 0);
    p.bias = take(&b, bias, 0);
    p.initial = take(&b, initial, 0);
    p.offsets = take(&b, offsets, 0);
    p.h = take(&b, h, 1);
    p.out = take(&b, out, 1);
    p.texts = texts, p.dim = dim, p.pitch = pitch;
    RUN(kernels->fo_pool(&p, begin, end));
}

/* Gradients of fo_pool. grad_bias is added to. */
static PyObject *fo_pool_backward(PyObject *self, PyObject *args)
{
    PyObject *z, *f, *o, *i, *bias, *initial, *offsets, *h, *grad;
    PyObject *grad_z, *grad_f, *grad_o, *grad_i, *grad_bias, *grad_initial;
    pool_t p = {0};
    buffers_t b = {0};
    long long texts, dim, pitch, begin, end;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOOOOOOLLLpLL", &z, &f, &o, &i, &bias, &initial, &offsets, &h, &grad, &grad_z,
                          &grad_f, &grad_o, &grad_i, &grad_bias, &grad_initial, &texts, &dim, &pitch, &p.reverse, &begin,
                          &end))
        return NULL;
    p.z = take(&b, z, 0);
    p.f = take(&b, f, 0);
    p.o = take(&b, o, 0);
    p.i = take(&b, i, 0);
    p.bias = take(&b, bias, 0);
    p.initial = take(&b, initial, 0);
    p.offsets = take(&b, offsets, 0);
    p.h = take(&b, h, 0);
    p.grad = take(&b, grad, 0);
    p.grad_z = take(&b, grad_z, 1);
    p.grad_f = take(&b, grad_f, 1);
    p.grad_o = take(&b, grad_o, 1);
    p.grad_i = take(&b, grad_i, 1);
    p.grad_bias = take(&b, grad_bias, 1);
    p.grad_initial = take(&b, grad_initial, 1);
    p.texts = texts, p.dim = dim, p.pitch = pitch;
    RUN(kernels->fo_pool_backward(&p, begin, end));
}

static PyObject *tile_pack(PyObject *self, PyObject *args)
{
    PyObject *weight, *packed;
    tiles_t p = {0};
    buffers_t b = {0};
    long long dim, columns, begin, end;
    if (!PyArg_ParseTuple(args, "OOLLippLL", &weight, &packed, &dim, &columns, &p.width, &p.reverse, &p.back, &begin, &end))
        return NULL;
    p.x = take(&b, weight, 0);
    p.out = take(&b, packed, 1);
    p.dim = dim, p.columns = columns;
    RUN(kernels->tile_pack(&p, begin, end));
}

/* The arguments of tile_conv and tile_outer; `beside` are the packed weights of the one, the gradients of the other. */
static int take_tiles(PyObject *args, tiles_t *p, buffers_t *b, const float **beside, long long *begin, long long *end)
{
    PyObject *x, *other, *rows, *out;
    long long dim, columns, tiles;
    if (!PyArg_ParseTuple(args, "OOOOLLLippLL", &x, &other, &rows, &out, &dim, &columns, &tiles, &p->width, &p->reverse,
                          &p->back, begin, end))
        return 0;
    p->x = take(b, x, 0);
    *beside = take(b, other, 0);
    p->rows = take(b, rows, 0);
    p->out = take(b, out, 1);
    p->dim = dim, p->columns = columns, p->tiles = tiles;
    p->failed = &b->failed;
    return 1;
}

static PyObject *tile_conv(PyObject *self, PyObject *args)
{
    tiles_t p = {0};
    buffers_t b = {0};
    long long begin, end;
    if (!take_tiles(args, &p, &b, &p.packed, &begin, &end)) return NULL;
    RUN(kernels->tile_conv(&p, begin, end));
}

static PyObject *tile_outer(PyObject *self, PyObject *args)
{
    tiles_t p = {0};
    buffers_t b = {0};
    long long begin, end;
    if (!take_tiles(args, &p, &b, &p.grad, &begin, &end)) return NULL;
    RUN(kernels->tile_outer(&p, begin, end));
}

/* The distinct ids of a batch, in order of first appearance, and each token's place among them. `seen` is int32[V],
 * all -1 before and after, so that a call costs the batch and not the vocabulary. Returns how many there are. */
static PyObject *distinct(PyObject *self, PyObject *args)
{
    PyObject *values_o, *seen_o, *unique_o, *local_o;
    buffers_t b = {0};
    long long n;
    int32_t count = 0;
    if (!PyArg_ParseTuple(args, "OOOOL", &values_o, &seen_o, &unique_o, &local_o, &n)) return NULL;
    const int32_t *values = take(&b, values_o, 0);
    int32_t *seen = take(&b, seen_o, 1), *unique = take(&b, unique_o, 1), *local = take(&b, local_o, 1);
    if (!b.failed) {
        Py_BEGIN_ALLOW_THREADS
        for (long long i = 0; i < n; i++) {
            int32_t id = values[i];
            if (seen[id] < 0) unique[count] = id, seen[id] = count++;
            local[i] = seen[id];
        }
        for (int32_t u = 0; u < count; u++) seen[unique[u]] = -1;
        Py_END_ALLOW_THREADS
    }
    PyObject *none = finish(&b);
    if (!none) return NULL;
    Py_DECREF(none);
    return PyLong_FromLong(count);
}

static PyObject *merge_windows(PyObject *self, PyObject *args)
{
    PyObject *activations, *weight, *first, *last, *targets, *offsets, *out_offsets, *out_first, *out_last, *out, *slots;
    merge_t m = {0};
    cells_t cells = {0};
    buffers_t b = {0};
    long long texts, features, count = 0;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOOLL", &activations, &weight, &first, &last, &targets, &offsets, &out_offsets,
                          &out_first, &out_last, &out, &slots, &texts, &features))
        return NULL;
    m.activations = take(&b, activations, 0);
    m.weight = take(&b, weight, 0);
    m.first = take(&b, first, 0);
    m.last = take(&b, last, 0);
    m.targets = take(&b, targets, 0);
    m.offsets = take(&b, offsets, 0);
    m.out_offsets = take(&b, out_offsets, 1);
    m.out_first = take(&b, out_first, 1);
    m.out_last = take(&b, out_last, 1);
    m.out = take(&b, out, 1);
    m.slots = take(&b, slots, 1);
    m.features = features;
    if (!b.failed) {
        m.out_offsets[0] = 0;
        Py_BEGIN_ALLOW_THREADS
        count = cells_for(&cells, features) ? kernels->merge(&m, &cells, 0, texts, 0) : -1;
        Py_END_ALLOW_THREADS
    }
    free_cells(&cells);
    PyObject *none = finish(&b);
    if (!none) return NULL;
    Py_DECREF(none);
    return count < 0 ? PyErr_NoMemory() : PyLong_FromLongLong(count);
}

/* out[slot, token of its window] += factor x what the token's row has for the filter, for every activation in a slot. */
static PyObject *word_parts(PyObject *self, PyObject *args)
{
    PyObject *table_o, *values_o, *offsets_o, *width_o, *filters_o, *scale_o, *starts_o, *factors_o, *slots_o, *out_o;
    buffers_t b = {0};
    long long stride, texts, features, widest;
    int itemsize, groups;
    if (!PyArg_ParseTuple(args, "OLiOOOOiLOOOOOLL", &table_o, &stride, &itemsize, &values_o, &offsets_o, &width_o, &filters_o,
                          &groups, &features, &scale_o, &starts_o, &factors_o, &slots_o, &out_o, &texts, &widest))
        return NULL;
    const void *table = take(&b, table_o, 0);
    const int32_t *values = take(&b, values_o, 0);
    const int64_t *offsets = take(&b, offsets_o, 0);
    const int32_t *width = take(&b, width_o, 0), *filters = take(&b, filters_o, 0);
    const float *scale = take(&b, scale_o, 0);
    const int32_t *starts = take(&b, starts_o, 0);
    const float *factors = take(&b, factors_o, 0);
    const int32_t *slots = take(&b, slots_o, 0);
    double *out = take(&b, out_o, 1);
    if (!b.failed) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t text = 0; text < texts; text++) {
            int64_t length = offsets[text + 1] - offsets[text], at = text * features, piece = 0;
            for (int group = 0; group < groups; group++) {
                for (int32_t f = 0; f < filters[group]; f++, at++) {
                    if (slots[at] < 0) continue;
                    int64_t start = starts[at], from = start < 0 ? 0 : start;
                    int64_t to = start + width[group] < length ? start + width[group] : length;
                    for (int64_t t = from; t < to; t++) {
                        int64_t cell = values[offsets[text] + t] * stride + piece + (t - start) * filters[group] + f;
                        double added = itemsize == 4   ? ((const float *)table)[cell]
                                       : itemsize == 2 ? half_to_float(((const uint16_t *)table)[cell])
                                                       : (double)((const int8_t *)table)[cell] * scale[at - text * features];
                        out[slots[at] * widest + t - from] += factors[at] * added;
                    }
                }
                piece += (int64_t)width[group] * filters[group];
            }
        }
        Py_END_ALLOW_THREADS
    }
    return finish(&b);
}

/* ---- n-grams of tokens and of characters --------------------------------------------------------------------------- */

/* The texts of a call. Ids from `vocabulary` on are words outside it: `vocabulary` + i has the code points from bounds[i] on.
 * Where nobody says how such words are written, `letters` is NULL. */
typedef struct {
    const int32_t *values, *letters;
    const int64_t *offsets, *bounds;
    int64_t vocabulary, outside;
} texts_t;

static void take_texts(buffers_t *b, texts_t *x, PyObject *values, PyObject *offsets, long long vocabulary,
                       PyObject *letters, PyObject *bounds)
{
    x->values = take(b, values, 0);
    x->offsets = take(b, offsets, 0);
    x->letters = take(b, letters, 0);
    x->bounds = take(b, bounds, 0);
    x->vocabulary = vocabulary;
    x->outside = x->bounds ? b->views[b->used - 1].len / (Py_ssize_t)sizeof(int64_t) - 1 : 0;
}

/* The n-grams that a linear model knows, and its weights. `entries` is a hash table of 1 << (64 - shift) pairs (key, row),
 * with linear probing and keys of -1 where it is free; `filter` (Bloom 1970) has two bits set for each of them. Each of
 * `rows` is the n-gram's scale and, behind it, the weight of every class. `length` is that of a word whose character n-grams
 * these are. */
typedef struct {
    const float *rows, *bias;
    int64_t *entries;
    uint64_t *filter;
    int64_t known, classes;
    double length;
    int shift, filter_shift, longest;
    buffers_t held;
} ngrams_t;

#define NGRAMS "textcnn.kernels.ngrams"
#define NGRAM_BITS 21 /* of a token's id in a key */
#define LONGEST_NGRAM 3
#define STARTS_AT_ONCE 64
#define CHARACTER_NGRAMS 7 /* sizes, 2 to 8 */
#define LONGEST_WORD 64    /* characters, as in spelling.py */

INLINE uint64_t ngram_hash(int64_t key)
{
    uint64_t hash = (uint64_t)key * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

/* Two bits of a word of the filter. */
INLINE uint64_t ngram_bits(uint64_t hash) { return (uint64_t)1 << (hash & 63) | (uint64_t)1 << (hash >> 6 & 63); }

static int bit_length(uint64_t n)
{
    int bits = 0;
    while (n) bits++, n >>= 1;
    return bits ? bits : 1;
}

/* At most half full; 8 to 16 bits of the filter for each key, so that it stays in the second-level cache. 0: no memory. */
static int index_keys(ngrams_t *g, const int64_t *keys)
{
    int bits = bit_length(2 * (uint64_t)g->known), filter_bits = bit_length((uint64_t)g->known / 8);
    const int64_t mask = ((int64_t)1 << bits) - 1;
    g->shift = 64 - bits, g->filter_shift = 64 - filter_bits;
    g->entries = malloc((2 * sizeof(int64_t)) << bits);
    g->filter = calloc((size_t)1 << filter_bits, sizeof(uint64_t));
    if (!g->entries || !g->filter) return 0;
    memset(g->entries, -1, (2 * sizeof(int64_t)) << bits);
    for (int64_t i = 0; i < g->known; i++) {
        uint64_t hash = ngram_hash(keys[i]);
        int64_t slot = (int64_t)(hash >> g->shift);
        g->filter[hash >> g->filter_shift] |= ngram_bits(hash);
        while (g->entries[2 * slot] >= 0) slot = (slot + 1) & mask;
        g->entries[2 * slot] = keys[i], g->entries[2 * slot + 1] = i;
    }
    return 1;
}

static void free_ngrams(ngrams_t *g)
{
    release(&g->held);
    free(g->entries), free(g->filter), free(g);
}

static void forget_ngrams(PyObject *capsule) { free_ngrams(PyCapsule_GetPointer(capsule, NGRAMS)); }

static PyObject *ngram_index(PyObject *self, PyObject *args)
{
    PyObject *keys_o, *rows, *bias;
    buffers_t b = {0};
    long long known, classes;
    double length;
    int longest, done = 0;
    if (!PyArg_ParseTuple(args, "OLOLOid", &keys_o, &known, &rows, &classes, &bias, &longest, &length)) return NULL;
    ngrams_t *g = calloc(1, sizeof *g);
    if (!g) return PyErr_NoMemory();
    g->known = known, g->classes = classes, g->longest = longest, g->length = length;
    g->rows = take(&g->held, rows, 0);
    g->bias = take(&g->held, bias, 0);
    const int64_t *keys = take(&b, keys_o, 0);
    if (!b.failed && !g->held.failed) {
        Py_BEGIN_ALLOW_THREADS done = index_keys(g, keys);
        Py_END_ALLOW_THREADS
        if (!done) PyErr_NoMemory();
    }
    release(&b);
    PyObject *made = done ? PyCapsule_New(g, NGRAMS, forget_ngrams) : NULL;
    if (!made) free_ngrams(g);
    return made;
}

/* What ngram_index made, or NULL for None; sets `failed` with an exception otherwise. */
static const ngrams_t *take_ngrams(buffers_t *b, PyObject *capsule)
{
    if (b->failed || capsule == Py_None) return NULL;
    const ngrams_t *g = PyCapsule_GetPointer(capsule, NGRAMS);
    if (!g) b->failed = 1;
    return g;
}

/* The rows of those of the keys that there are, in order; returns how many. */
static int64_t find_keys(const ngrams_t *g, const int64_t *keys, int64_t count, int32_t *rows)
{
    const int64_t mask = ((int64_t)1 << (64 - g->shift)) - 1;
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) PREFETCH(g->entries + 2 * (ngram_hash(keys[i]) >> g->shift));
    for (int64_t i = 0; i < count; i++) {
        int64_t slot = (int64_t)(ngram_hash(keys[i]) >> g->shift);
        while (g->entries[2 * slot] >= 0 && g->entries[2 * slot] != keys[i]) slot = (slot + 1) & mask;
        if (g->entries[2 * slot] < 0) continue;
        rows[found] = (int32_t)g->entries[2 * slot + 1];
        PREFETCH(g->rows + rows[found++] * (g->classes + 1));
    }
    return found;
}

/* The scale of a word and, behind it, the weight of every class, from its letters between two marks; `g` knows n-grams of
 * characters, by a polynomial hash. Zeros, and 0, where none of the word is known. */
static int spell_word(const ngrams_t *g, const int32_t *letters, int64_t count, float *row)
{
    int32_t codes[LONGEST_WORD + 2], rows[(LONGEST_WORD + 2) * CHARACTER_NGRAMS];
    int64_t keys[(LONGEST_WORD + 2) * CHARACTER_NGRAMS], maybe = 0;
    memset(row, 0, sizeof(float) * (size_t)(g->classes + 1));
    if (count <= 0) return 0;
    count = count < LONGEST_WORD ? count : LONGEST_WORD;
    codes[0] = 2, codes[count + 1] = 3;
    memcpy(codes + 1, letters, sizeof(int32_t) * (size_t)count);
    for (int64_t start = 0; start < count + 1; start++) {
        uint64_t key = 0;
        for (int64_t n = 0; n < g->longest && start + n < count + 2; n++) {
            key = key * 0x9E3779B97F4A7C15u + (uint32_t)codes[start + n] + 1;
            int64_t whole = (int64_t)(key & INT64_MAX);
            uint64_t hash = ngram_hash(whole), bits = ngram_bits(hash);
            keys[maybe] = whole;
            maybe += n > 0 && (g->filter[hash >> g->filter_shift] & bits) == bits;
        }
    }
    int64_t found = find_keys(g, keys, maybe, rows);
    if (!found) return 0;
    double square = 0;
    for (int64_t i = 0; i < found; i++) {
        const float *one = g->rows + rows[i] * (g->classes + 1);
        square += (double)one[0] * one[0];
        for (int64_t c = 1; c <= g->classes; c++) row[c] += one[c];
    }
    float share = (float)(g->length / sqrt(square));
    row[0] = (float)g->length;
    for (int64_t c = 1; c <= g->classes; c++) row[c] *= share;
    return 1;
}

static PyObject *spell_words(PyObject *self, PyObject *args)
{
    PyObject *characters, *letters_o, *bounds_o, *out_o;
    buffers_t b = {0};
    long long begin, end;
    if (!PyArg_ParseTuple(args, "OOOOLL", &characters, &letters_o, &bounds_o, &out_o, &begin, &end)) return NULL;
    const ngrams_t *g = take_ngrams(&b, characters);
    const int32_t *letters = take(&b, letters_o, 0);
    const int64_t *bounds = take(&b, bounds_o, 0);
    float *out = take(&b, out_o, 1);
    RUN(for (int64_t word = begin; word < end; word++)
            spell_word(g, letters + bounds[word], bounds[word + 1] - bounds[word], out + word * (g->classes + 1)));
}

/* Rows of n-grams, and behind them those of the unknown words of a text, which are made as they are met. */
typedef struct {
    const ngrams_t *g, *characters;
    float *spelled;
    int64_t count;
} met_t;

INLINE const float *ngram_row(const met_t *m, int32_t row)
{
    int64_t size = m->g->classes + 1;
    return row < m->g->known ? m->g->rows + row * size : m->spelled + (row - m->g->known) * size;
}

/* The row of every n-gram that begins at tokens from..to - 1 of a text, -1 where there is none: rows[(start - from) *
 * longest + n - 1] of the one of n tokens. Most are unknown, which the filter tells from the cache; the others' cache lines
 * are fetched while the next are looked at. */
static void find_ngrams(met_t *m, const texts_t *x, int64_t text, int64_t from, int64_t to, int32_t *rows)
{
    const ngrams_t *g = m->g;
    const int32_t *ids = x->values + x->offsets[text];
    int64_t keys[STARTS_AT_ONCE * LONGEST_NGRAM], length = x->offsets[text + 1] - x->offsets[text];
    int32_t places[STARTS_AT_ONCE * LONGEST_NGRAM];
    const int64_t mask = ((int64_t)1 << (64 - g->shift)) - 1;
    int64_t count = 0, maybe = 0, outside = 0;
    int64_t first = x->letters && x->vocabulary < 1 << NGRAM_BITS ? x->vocabulary : 1 << NGRAM_BITS; /* that is no word */
    for (int64_t start = from; start < to; start++) {
        int64_t key = 0;
        outside += ids[start] >= first;
        for (int n = 0; n < g->longest; n++, count++) {
            /* 0 stands between texts, 1 is any unknown word */
            int known = key >= 0 && start + n < length && ids[start + n] > 1 && ids[start + n] < first;
            key = known ? key | (int64_t)ids[start + n] << (NGRAM_BITS * n) : -1;
            uint64_t hash = ngram_hash(key), bits = ngram_bits(hash);
            rows[count] = -1;
            keys[maybe] = key, places[maybe] = (int32_t)count;
            maybe += known && (g->filter[hash >> g->filter_shift] & bits) == bits;
        }
    }
    for (int64_t i = 0; i < maybe; i++) PREFETCH(g->entries + 2 * (ngram_hash(keys[i]) >> g->shift));
    for (int64_t i = 0; i < maybe; i++) {
        int64_t slot = (int64_t)(ngram_hash(keys[i]) >> g->shift);
        while (g->entries[2 * slot] >= 0 && g->entries[2 * slot] != keys[i]) slot = (slot + 1) & mask;
        if (g->entries[2 * slot] < 0) continue;
        rows[places[i]] = (int32_t)g->entries[2 * slot + 1];
        PREFETCH(g->rows + rows[places[i]] * (g->classes + 1));
    }
    for (int64_t start = from; m->characters && outside && start < to; start++) {
        int64_t word = ids[start] - x->vocabulary;
        if (word < 0 || word >= x->outside) continue;
        float *row = m->spelled + m->count * (g->classes + 1);
        if (!spell_word(m->characters, x->letters + x->bounds[word], x->bounds[word + 1] - x->bounds[word], row)) continue;
        rows[(start - from) * g->longest] = (int32_t)(g->known + m->count++);
    }
}

/* Room for `add_ngrams` to work in; NULL: there is no memory. */
static float *room_for_ngrams(const ngrams_t *g, const texts_t *x)
{
    return malloc(sizeof(float) * (size_t)(g->classes + 1) * (x->outside ? 1 + STARTS_AT_ONCE : 1));
}

/* out += bias + the sum of the n-grams' weights, over the length of the vector of their scales; of texts begin..end. */
static void add_ngrams(const ngrams_t *g, const ngrams_t *characters, const texts_t *x, float *out, int64_t begin,
                       int64_t end, float *room)
{
    int32_t rows[STARTS_AT_ONCE * LONGEST_NGRAM];
    int64_t classes = g->classes;
    float *sum = room;
    for (int64_t text = begin; text < end; text++) {
        int64_t length = x->offsets[text + 1] - x->offsets[text];
        double square = 0;
        memset(sum, 0, sizeof(float) * (size_t)(classes + 1));
        for (int64_t from = 0; from < length; from += STARTS_AT_ONCE) {
            int64_t to = from + STARTS_AT_ONCE < length ? from + STARTS_AT_ONCE : length, found = 0;
            met_t met = {g, characters, room + classes + 1, 0};
            find_ngrams(&met, x, text, from, to, rows);
            for (int64_t i = 0; i < (to - from) * g->longest; i++) { /* no branch that nothing foretells */
                rows[found] = rows[i];
                found += rows[i] >= 0;
            }
            for (int64_t i = 0; i < found; i++) {
                const float *row = ngram_row(&met, rows[i]);
                square += (double)row[0] * row[0];
                for (int64_t c = 0; c < classes; c++) sum[c] += row[c + 1];
            }
        }
        float share = square > 0 ? (float)(1 / sqrt(square)) : 0;
        for (int64_t c = 0; c < classes; c++) out[text * classes + c] += sum[c] * share + g->bias[c];
    }
}

static PyObject *ngram_logits(PyObject *self, PyObject *args)
{
    PyObject *words, *characters_o, *values, *offsets, *letters, *bounds, *out_o;
    texts_t x;
    buffers_t b = {0};
    long long vocabulary, begin, end;
    if (!PyArg_ParseTuple(args, "OOOOLOOOLL", &words, &characters_o, &values, &offsets, &vocabulary, &letters, &bounds,
                          &out_o, &begin, &end))
        return NULL;
    const ngrams_t *g = take_ngrams(&b, words), *characters = take_ngrams(&b, characters_o);
    take_texts(&b, &x, values, offsets, vocabulary, letters, bounds);
    float *out = take(&b, out_o, 1), *room = NULL;
    if (!b.failed && !(room = room_for_ngrams(g, &x))) b.failed = 1;
    if (!b.failed) {
        Py_BEGIN_ALLOW_THREADS add_ngrams(g, characters, &x, out, begin, end, room);
        Py_END_ALLOW_THREADS
    }
    free(room);
    return finish(&b);
}

/* What each n-gram adds to a class, or to a sum of classes with signs, merged into windows in order that are there already.
 * `beside` gets the part that is the n-gram's, `places` where each of those windows went. Returns how many there are. */
static PyObject *ngram_evidence(PyObject *self, PyObject *args)
{
    PyObject *words, *characters_o, *values, *offsets, *letters, *bounds_of_letters, *targets_o, *signs_o, *there_offsets,
        *there_first, *there_last, *there_total, *out_offsets, *out_first, *out_last, *out_total, *beside_o, *places_o;
    texts_t x;
    buffers_t b = {0};
    long long vocabulary, texts;
    int64_t count = 0;
    if (!PyArg_ParseTuple(args, "OOOOLOOOOOOOOOOOOOOL", &words, &characters_o, &values, &offsets, &vocabulary, &letters,
                          &bounds_of_letters, &targets_o, &signs_o, &there_offsets, &there_first, &there_last, &there_total,
                          &out_offsets, &out_first, &out_last, &out_total, &beside_o, &places_o, &texts))
        return NULL;
    met_t met = {take_ngrams(&b, words), take_ngrams(&b, characters_o), NULL, 0};
    take_texts(&b, &x, values, offsets, vocabulary, letters, bounds_of_letters);
    const int64_t *targets = take(&b, targets_o, 0);
    const float *signs = take(&b, signs_o, 0);
    const int64_t *bounds = take(&b, there_offsets, 0), *there_from = take(&b, there_first, 0);
    const int64_t *there_to = take(&b, there_last, 0);
    const double *there = take(&b, there_total, 0);
    int64_t *to_bounds = take(&b, out_offsets, 1), *first = take(&b, out_first, 1), *last = take(&b, out_last, 1);
    double *total = take(&b, out_total, 1), *beside = take(&b, beside_o, 1);
    int32_t *places = take(&b, places_o, 1), *rows = NULL;
    const ngrams_t *g = met.g;
    int64_t longest_text = 0, most_outside = 0;
    for (int64_t text = 0; !b.failed && text < texts; text++) {
        int64_t length = x.offsets[text + 1] - x.offsets[text], outside = 0;
        for (int64_t i = x.offsets[text]; x.letters && i < x.offsets[text + 1]; i++) outside += x.values[i] >= x.vocabulary;
        longest_text = length > longest_text ? length : longest_text;
        most_outside = outside > most_outside ? outside : most_outside;
    }
    if (!b.failed) {
        rows = malloc(sizeof(int32_t) * (size_t)(longest_text * g->longest + 1));
        met.spelled = malloc(sizeof(float) * (size_t)(most_outside * (g->classes + 1) + 1));
        if (!rows || !met.spelled) b.failed = 1;
    }
    if (!b.failed) {
        Py_BEGIN_ALLOW_THREADS
        to_bounds[0] = 0;
        for (int64_t text = 0; text < texts; text++) {
            int64_t length = x.offsets[text + 1] - x.offsets[text], at = bounds[text];
            double square = 0;
            met.count = 0;
            for (int64_t from = 0; from < length; from += STARTS_AT_ONCE) {
                int64_t to = from + STARTS_AT_ONCE < length ? from + STARTS_AT_ONCE : length;
                find_ngrams(&met, &x, text, from, to, rows + from * g->longest);
            }
            for (int64_t i = 0; i < length * g->longest; i++) {
                if (rows[i] < 0) continue;
                double scale = *ngram_row(&met, rows[i]);
                square += scale * scale;
            }
            double share = square > 0 ? 1 / sqrt(square) : 0;
            for (int64_t i = 0; i <= length * g->longest; i++) {
                int64_t from = i / g->longest, to = from + i % g->longest + 1;
                int end = i == length * g->longest;
                if (!end && rows[i] < 0) continue;
                while (at < bounds[text + 1] && (end || there_from[at] < from || (there_from[at] == from && there_to[at] < to))) {
                    places[at] = (int32_t)count, first[count] = there_from[at], last[count] = there_to[at];
                    beside[count] = 0, total[count++] = there[at++];
                }
                if (end) break;
                const float *row = ngram_row(&met, rows[i]) + 1;
                double added = 0;
                if (!signs) added = row[targets[text]];
                else
                    for (int64_t c = 0; c < g->classes; c++) added += (double)signs[text * g->classes + c] * row[c];
                first[count] = from, last[count] = to, total[count] = beside[count] = added * share;
                if (at < bounds[text + 1] && there_from[at] == from && there_to[at] == to) {
                    total[count] += there[at];
                    places[at++] = (int32_t)count;
                }
                count++;
            }
            to_bounds[text + 1] = count;
        }
        Py_END_ALLOW_THREADS
    }
    free(rows), free(met.spelled);
    PyObject *none = finish(&b);
    if (!none) return NULL;
    Py_DECREF(none);
    return PyLong_FromLongLong(count);
}

/* ---- from token ids to logits ------------------------------------------------------------------------------------- */

/* A table, bias and activation, and a head. */
typedef struct {
    gather_t gather;
    affine_t head;
    const char *there; /* which of so many words have a row */
    int64_t words;
    const float *bias;
    int precision, relu, spells; /* to the network, words outside the vocabulary are not all one */
    buffers_t held;
} layers_t;

#define LAYERS "textcnn.kernels.layers"

static void free_layers(layers_t *l)
{
    release(&l->held);
    free(l);
}

static void forget_layers(PyObject *capsule) { free_layers(PyCapsule_GetPointer(capsule, LAYERS)); }

static PyObject *layers(PyObject *self, PyObject *args)
{
    PyObject *rows, *there, *width, *filters, *left, *right, *scale, *bias, *weight, *head_bias;
    long long words, stride, classes;
    layers_t *l = calloc(1, sizeof *l);
    if (!l) return PyErr_NoMemory();
    gather_t *g = &l->gather;
    if (!PyArg_ParseTuple(args, "OOLLiOOOOiiOOpOOLp", &rows, &there, &words, &stride, &l->precision, &width, &filters, &left,
                          &right, &g->groups, &g->features, &scale, &bias, &l->relu, &weight, &head_bias, &classes,
                          &l->spells)) {
        free(l);
        return NULL;
    }
    g->stride = stride;
    g->rows = take(&l->held, rows, 0);
    l->there = take(&l->held, there, 0);
    g->width = take(&l->held, width, 0);
    g->num_filters = take(&l->held, filters, 0);
    g->left = take(&l->held, left, 0);
    g->right = take(&l->held, right, 0);
    g->scale = take(&l->held, scale, 0);
    l->bias = take(&l->held, bias, 0);
    l->head.weight = take(&l->held, weight, 0);
    l->head.bias = take(&l->held, head_bias, 0);
    l->head.in_dim = g->features, l->head.out_dim = classes;
    l->words = words;
    PyObject *made = l->held.failed ? NULL : PyCapsule_New(l, LAYERS, forget_layers);
    if (!made) free_layers(l);
    return made;
}

/* The ids of tokens first..last - 1 as the network knows them, those of words outside the vocabulary being UNKNOWN; NULL
 * where it takes them as they are. `known` becomes 0 where a word is not `there`, -1 where there is no memory. */
#define UNKNOWN 1
static int32_t *known_values(const layers_t *l, const texts_t *x, int64_t first, int64_t last, int *known)
{
    const int32_t *given = x->values;
    const int64_t beyond = x->letters && !l->spells ? x->vocabulary : INT64_MAX;
    int all = 1, outside = 0;
    for (int64_t i = first; all && i < last; i++) {
        int32_t id = given[i] < beyond ? given[i] : UNKNOWN;
        outside |= id != given[i];
        all = (uint32_t)id < (uint64_t)l->words && l->there[id];
    }
    *known = all;
    if (!all || !outside) return NULL;
    int32_t *values = malloc(sizeof(int32_t) * (size_t)last); /* pages before `first` are not written to */
    if (!values) *known = -1;
    for (int64_t i = first; values && i < last; i++) values[i] = given[i] < beyond ? given[i] : UNKNOWN;
    return values;
}

/* Features, bias, activation and the head's matrix product for texts begin..end, and what n-grams beside the network add,
 * a few texts at a time so that their features stay in the first cache; and, where there is an array for them, what the
 * windows behind the largest logit contribute. Returns how many windows those are, or -1 where a word is not `there`: what
 * is written then means nothing. */
#define LOGITS_AT_ONCE 32
static PyObject *gather_logits(PyObject *self, PyObject *args)
{
    PyObject *layers_o, *words, *characters_o, *values, *offsets, *letters, *bounds, *out, *largest_o, *out_offsets,
        *out_first, *out_last, *totals;
    texts_t x;
    merge_t m = {0};
    cells_t cells = {0};
    buffers_t b = {0};
    long long vocabulary, begin, end;
    int64_t count = 0;
    int known = 1;
    if (!PyArg_ParseTuple(args, "OOOOOLOOOOOOOOLL", &layers_o, &words, &characters_o, &values, &offsets, &vocabulary,
                          &letters, &bounds, &out, &largest_o, &out_offsets, &out_first, &out_last, &totals, &begin, &end))
        return NULL;
    const layers_t *l = PyCapsule_GetPointer(layers_o, LAYERS);
    if (!l) return NULL;
    const ngrams_t *beside = take_ngrams(&b, words), *characters = take_ngrams(&b, characters_o);
    take_texts(&b, &x, values, offsets, vocabulary, letters, bounds);
    float *logits = take(&b, out, 1), *features = NULL, *room = NULL;
    int64_t *largest = take(&b, largest_o, 1);
    m.out_offsets = take(&b, out_offsets, 1);
    m.out_first = take(&b, out_first, 1);
    m.out_last = take(&b, out_last, 1);
    m.out = take(&b, totals, 1);
    gather_t g = l->gather;
    affine_t a = l->head;
    int64_t classes = a.out_dim;
    int32_t *starts = NULL, *own = NULL;
    m.features = g.features, m.weight = a.weight;
    g.failed = &b.failed;
    size_t all = LOGITS_AT_ONCE * (size_t)g.features;
    if (!b.failed && !(features = malloc(sizeof(float) * (all + LOGITS_AT_ONCE * (size_t)classes)))) b.failed = 1;
    if (!b.failed && beside && !(room = room_for_ngrams(beside, &x))) b.failed = 1;
    if (!b.failed && largest && (!(starts = malloc(2 * sizeof(int32_t) * all)) || !cells_for(&cells, g.features)))
        b.failed = 1;
    if (!b.failed) {
        Py_BEGIN_ALLOW_THREADS
        void (*gather)(const gather_t *, int64_t, int64_t) =
            l->precision == 4 ? kernels->gather_f32 : l->precision == 2 ? kernels->gather_f16 : kernels->gather_i8;
        own = known_values(l, &x, x.offsets[begin], x.offsets[end], &known);
        if (known < 0) b.failed = 1;
        if (known > 0) memset(logits + begin * classes, 0, sizeof(float) * (size_t)((end - begin) * classes));
        if (known > 0 && beside) add_ngrams(beside, characters, &x, logits, begin, end, room);
        g.values = own ? own : x.values, g.out = features, g.argmax = starts;
        a.x = features, a.out = features + all;
        if (largest) m.out_offsets[0] = 0;
        m.activations = features, m.first = starts, m.last = starts ? starts + all : NULL;
        for (int64_t text = begin; known > 0 && count >= 0 && !b.failed && text < end; text += LOGITS_AT_ONCE) {
            int64_t texts = end - text < LOGITS_AT_ONCE ? end - text : LOGITS_AT_ONCE;
            g.offsets = x.offsets + text;
            gather(&g, 0, texts);
            for (int64_t t = 0; t < texts; t++) {
                float *feature = features + t * g.features;
                int empty = g.offsets[t] == g.offsets[t + 1];
                for (int f = 0; f < g.features; f++) {
                    float sum = feature[f] + l->bias[f];
                    feature[f] = empty || (l->relu && sum < 0) ? 0 : sum;
                }
            }
            kernels->affine(&a, 0, texts);
            float *rows = logits + text * classes;
            for (int64_t i = 0; i < texts * classes; i++) rows[i] = a.out[i] + rows[i];
            if (!largest) continue;
            for (int64_t t = 0; t < texts; t++, rows += classes) {
                int64_t best = 0;
                for (int64_t c = 1; c < classes; c++) best = rows[c] > rows[best] ? c : best;
                largest[text + t] = best;
                int32_t *first = starts + t * g.features, *last = first + all;
                for (int group = 0; group < g.groups; group++)
                    for (int f = 0; f < g.num_filters[group]; f++) *last++ = *first++ + g.width[group];
            }
            m.offsets = x.offsets + text, m.targets = largest + text;
            count = kernels->merge(&m, &cells, 0, texts, count);
            m.out_offsets += texts;
        }
        if (count < 0) b.failed = 1;
        Py_END_ALLOW_THREADS
    }
    free(features), free(room), free(starts), free(own), free_cells(&cells);
    PyObject *none = finish(&b);
    if (!none) return NULL;
    Py_DECREF(none);
    return PyLong_FromLongLong(known ? count : -1);
}

static PyMethodDef methods[] = {
    {"gather_max", gather_max, METH_VARARGS, NULL},
    {"gather_sum", gather_sum, METH_VARARGS, NULL},
    {"project", project, METH_VARARGS, NULL},
    {"affine", affine, METH_VARARGS, NULL},
    {"softmax", softmax, METH_VARARGS, NULL},
    {"winners", winners, METH_VARARGS, NULL},
    {"conv_max_backward", conv_max_backward, METH_VARARGS, NULL},
    {"adadelta_rows", adadelta_rows, METH_VARARGS, NULL},
    {"adam_rows", adam_rows, METH_VARARGS, NULL},
    {"fo_pool", fo_pool, METH_VARARGS, NULL},
    {"fo_pool_backward", fo_pool_backward, METH_VARARGS, NULL},
    {"tile_pack", tile_pack, METH_VARARGS, NULL},
    {"tile_conv", tile_conv, METH_VARARGS, NULL},
    {"tile_outer", tile_outer, METH_VARARGS, NULL},
    {"distinct", distinct, METH_VARARGS, NULL},
    {"merge_windows", merge_windows, METH_VARARGS, NULL},
    {"word_parts", word_parts, METH_VARARGS, NULL},
    {"ngram_index", ngram_index, METH_VARARGS, NULL},
    {"spell_words", spell_words, METH_VARARGS, NULL},
    {"ngram_logits", ngram_logits, METH_VARARGS, NULL},
    {"ngram_evidence", ngram_evidence, METH_VARARGS, NULL},
    {"layers", layers, METH_VARARGS, NULL},
    {"gather_logits", gather_logits, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", "Compiled kernels.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    choose();
    PyObject *m = PyModule_Create(&module);
    if (m && PyModule_AddStringConstant(m, "instruction_set", instruction_set) < 0) return NULL;
    if (m && PyModule_AddStringConstant(m, "INTERFACE", INTERFACE) < 0) return NULL;
    if (m && PyModule_AddIntConstant(m, "PACK", PACK) < 0) return NULL;
    return m;
}
