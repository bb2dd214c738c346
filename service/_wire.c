/* Between the wire and the model: JSON with texts in, ranked labels as JSON out, without a Python object for each; and
 * what has to be known of a request to refuse it. Plain C11.
 *
 * Lines finds the texts of lines as they usually are: a string, or an object with `text` and perhaps an `id` that is
 * copied as it stands. Every other line it gives back whole, for lines.py to read and to say what is wrong with it.
 * texts() finds those of an object {"texts": ["...", ...]} and gives back the rest of it. So what stands here is strict:
 * a text that it takes is the one that orjson would have found.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "../textcnn/text/_texts.h"

#define INLINE static inline __attribute__((always_inline))
#define INTERFACE "63a043a4" /* as in native_wire.py */
#define ASCII_END 0x80u
#define GIL_BYTES 500000 /* read or written, 0.2 ms of work: below, taking the GIL back may cost more than it gave */
#define DIGITS_KEPT 18 /* of a whole number that is copied; what is longer, or has a fraction, orjson may write anew */

typedef struct {
    const uint8_t *begin, *end;
} span_t;

/* One line that was read. */
typedef struct {
    long long number;
    span_t id; /* as JSON; empty if it has none */
} head_t;

typedef struct {
    PyObject_HEAD
    PyObject *content; /* what the texts stand in: bytes, or the texts of which these are a part */
    uint32_t *decoded; /* texts that stand otherwise in JSON than in memory */
    text_view_t *found; /* NULL for a part */
    text_views_t views;
} texts_t;

typedef struct {
    texts_t texts;
    head_t *heads;
    PyObject *others; /* a list of (number, bytes) */
} lines_t;

typedef struct {
    PyTypeObject *texts, *lines;
} types_t;

/* ---------------------------------------------------------------- JSON */

#define EACH 0x0101010101010101u

/* The first byte that is not simply a character of a JSON string: its end, an escape, a control or beyond ASCII. */
INLINE const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 8) {
        uint64_t eight;
        memcpy(&eight, at, 8);
        /* a borrow may mark a byte too many, but only above one that is rightly marked */
        uint64_t marked = (eight | (eight - EACH * 0x20) | ((eight ^ EACH * '"') - EACH) |
                           ((eight ^ EACH * '\\') - EACH)) & EACH * 0x80;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        if (marked) return at + __builtin_ctzll(marked) / 8;
#else
        if (marked) break;
#endif
        at += 8;
    }
    while (at < end && *at >= 0x20 && *at < ASCII_END && *at != '"' && *at != '\\') at++;
    return at;
}

static int hex4(const uint8_t *at, const uint8_t *end, uint32_t *code)
{
    *code = 0;
    if (end - at < 4) return 0;
    for (int i = 0; i < 4; i++) {
        uint32_t digit = at[i], letter = digit | 0x20;
        if (digit - '0' < 10) digit -= '0';
        else if (letter - 'a' < 6) digit = letter - 'a' + 10;
        else return 0;
        *code = *code << 4 | digit;
    }
    return 1;
}

/* One escape, from behind its backslash; NULL if it is none, or half a pair of surrogates. */
static const uint8_t *read_escape(const uint8_t *at, const uint8_t *end, uint32_t *code)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (at == end) return NULL;
    if (*at != 'u') {
        const char *name = *at ? strchr(names, *at) : NULL;
        if (!name) return NULL;
        *code = (uint8_t)meant[name - names];
        return at + 1;
    }
    uint32_t low;
    if (!hex4(++at, end, code)) return NULL;
    at += 4;
    if (*code - 0xD800 >= 0x800) return at;
    if (*code >= 0xDC00 || end - at < 6 || at[0] != '\\' || at[1] != 'u' || !hex4(at + 2, end, &low)) return NULL;
    if (low - 0xDC00 >= 0x400) return NULL;
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return at + 6;
}

/* One code point beyond ASCII; NULL where UTF-8 is not as it must be (RFC 3629). */
static const uint8_t *read_utf8(const uint8_t *at, const uint8_t *end, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    int length = *at < 0xC2 ? 0 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : *at < 0xF5 ? 4 : 0;
    if (!length || end - at < length) return NULL;
    *code = *at & (0xFFu >> (length + 1));
    for (int i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80) return NULL;
        *code = *code << 6 | (at[i] & 0x3F);
    }
    if (*code < least[length] || *code > 0x10FFFF || *code - 0xD800 < 0x800) return NULL;
    return at + length;
}

typedef struct {
    texts_t *texts;
    lines_t *lines;     /* NULL: they stand in no lines */
    const uint8_t *end; /* of the content */
    size_t used;        /* of texts->decoded, which has room for what is left of the content */
    head_t *others;     /* lines that are given back, each in the place of an id */
    Py_ssize_t other_count, other_room, room;
    int failed; /* memory ran out */
} reader_t;

/* A string, from behind its opening quote: the byte behind the closing one; NULL if it is not one, or on `failed`. */
static const uint8_t *read_string(reader_t *reader, const uint8_t *at, text_view_t *text)
{
    const uint8_t *begin = at, *end = reader->end;
    at = skip_plain(at, end);
    if (at == end) return NULL;
    if (*at == '"') {
        *text = (text_view_t){begin, at - begin, 0};
        return at + 1;
    }
    if (!reader->texts->decoded) {
        /* a code point takes a byte or more, and what is decoded is what stands from here on */
        reader->texts->decoded = malloc((size_t)(end - begin) * sizeof(uint32_t));
        if (!reader->texts->decoded) {
            reader->failed = 1;
            return NULL;
        }
    }
    uint32_t *start = reader->texts->decoded + reader->used, *out = start, all = 0;
    for (;;) {
        for (; begin < at; begin++) *out++ = *begin;
        if (at == end || *at < 0x20) return NULL;
        if (*at == '"') break;
        at = *at == '\\' ? read_escape(at + 1, end, out) : read_utf8(at, end, out);
        if (!at) return NULL;
        all |= *out++;
        begin = at;
        at = skip_plain(at, end);
    }
    Py_ssize_t length = out - start;
    *text = (text_view_t){start, length, all < ASCII_END ? 0 : 4};
    if (!text->kind) {
        uint8_t *bytes = (uint8_t *)start; /* in place: byte i is written when code point i has been read */
        for (Py_ssize_t i = 0; i < length; i++) bytes[i] = (uint8_t)start[i];
    }
    reader->used += (size_t)length;
    return at + 1;
}

INLINE const uint8_t *skip_space(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r')) at++;
    return at;
}

/* An id that orjson would write as it stands. */
static const uint8_t *read_id(reader_t *reader, const uint8_t *at, span_t *id)
{
    static const char *const words[] = {"null", "true", "false"};
    const uint8_t *begin = at, *end = reader->end;
    text_view_t unused;
    if (at == end) return NULL;
    if (*at == '"') {
        at = read_string(reader, at + 1, &unused);
        if (!at || memchr(begin, '\\', (size_t)(at - begin))) return NULL;
    } else if (*at == '-' || (*at >= '0' && *at <= '9')) {
        if (*at == '-' && (++at == end || *at < '1' || *at > '9')) return NULL; /* -0 is written 0 */
        const uint8_t *digits = at;
        while (at < end && *at >= '0' && *at <= '9') at++;
        if (at - digits > DIGITS_KEPT || (*digits == '0' && at - digits > 1)) return NULL;
    } else {
        size_t size = 0;
        for (int i = 0; i < 3 && !size; i++)
            if ((size_t)(end - at) >= strlen(words[i]) && !memcmp(at, words[i], strlen(words[i]))) size = strlen(words[i]);
        if (!size) return NULL;
        at += size;
    }
    *id = (span_t){begin, at};
    return at;
}

/* {"text": ..., "id": ...}, in any order, from behind the brace. */
static const uint8_t *read_object(reader_t *reader, const uint8_t *at, text_view_t *text, span_t *id)
{
    const uint8_t *end = reader->end;
    int texts = 0, ids = 0;
    for (;;) {
        at = skip_space(at, end);
        int is_text = end - at > 6 && !memcmp(at, "\"text\"", 6), is_id = end - at > 4 && !memcmp(at, "\"id\"", 4);
        if (!is_text && !is_id) return NULL;
        at = skip_space(at + (is_text ? 6 : 4), end);
        if (at == end || *at != ':') return NULL;
        at = skip_space(at + 1, end);
        if (is_text) {
            if (texts++ || at == end || *at != '"') return NULL;
            at = read_string(reader, at + 1, text);
        } else {
            if (ids++) return NULL;
            at = read_id(reader, at, id);
        }
        if (!at) return NULL;
        at = skip_space(at, end);
        if (at == end || (*at != ',' && *at != '}')) return NULL;
        if (*at++ == '}') return texts ? at : NULL;
    }
}

/* ---------------------------------------------------------------- texts that were read */

static PyObject *text_at(PyObject *object, Py_ssize_t i)
{
    const text_views_t *views = &((texts_t *)object)->views;
    if (i < 0 || i >= views->count) {
        PyErr_SetString(PyExc_IndexError, "there is no such text");
        return NULL;
    }
    const text_view_t *text = &views->texts[i];
    return PyUnicode_FromKindAndData(text->kind ? text->kind : 1, text->data, text->length);
}

static Py_ssize_t text_count(PyObject *object) { return ((texts_t *)object)->views.count; }

static void let_go(PyObject *capsule) { Py_XDECREF((PyObject *)PyCapsule_GetContext(capsule)); }

static PyObject *text_views(PyObject *object, void *unused)
{
    (void)unused;
    PyObject *capsule = PyCapsule_New(&((texts_t *)object)->views, TEXT_VIEWS, let_go);
    if (capsule && PyCapsule_SetContext(capsule, object) < 0) Py_CLEAR(capsule);
    if (capsule) Py_INCREF(object);
    return capsule;
}

static PyObject *text_lengths(PyObject *object, void *unused)
{
    (void)unused;
    const text_views_t *views = &((texts_t *)object)->views;
    PyObject *lengths = PyBytes_FromStringAndSize(NULL, views->count * (Py_ssize_t)sizeof(int64_t));
    for (Py_ssize_t i = 0; lengths && i < views->count; i++) {
        int64_t length = views->texts[i].length;
        memcpy(PyBytes_AS_STRING(lengths) + i * (Py_ssize_t)sizeof length, &length, sizeof length);
    }
    return lengths;
}

/* Some of them, without copying one. */
static PyObject *text_part(PyObject *object, PyObject *args)
{
    Py_ssize_t begin, end;
    const text_views_t *views = &((texts_t *)object)->views;
    if (!PyArg_ParseTuple(args, "nn", &begin, &end)) return NULL;
    if (begin < 0 || begin > end || end > views->count) {
        PyErr_SetString(PyExc_IndexError, "there are no such texts");
        return NULL;
    }
    const types_t *types = PyType_GetModuleState(Py_TYPE(object));
    texts_t *part = types ? (texts_t *)types->texts->tp_alloc(types->texts, 0) : NULL;
    if (!part) return NULL;
    part->content = Py_NewRef(object);
    part->views = (text_views_t){views->texts + begin, end - begin, 0};
    for (Py_ssize_t i = begin; i < end; i++) part->views.characters += views->texts[i].length;
    return (PyObject *)part;
}

static void texts_dealloc(PyObject *object)
{
    texts_t *self = (texts_t *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(self->content);
    free(self->decoded);
    free(self->found);
    type->tp_free(object);
    Py_DECREF(type);
}

/* Room for one more text, and its head if it has one. */
static int more_room(reader_t *reader)
{
    texts_t *self = reader->texts;
    if (self->views.count < reader->room) return 1;
    reader->room = reader->room * 2 + 64;
    text_view_t *found = realloc(self->found, (size_t)reader->room * sizeof *found);
    if (!found) return 0;
    self->views.texts = self->found = found;
    if (!reader->lines) return 1;
    head_t *heads = realloc(reader->lines->heads, (size_t)reader->room * sizeof *heads);
    if (heads) reader->lines->heads = heads;
    return heads != NULL;
}

static void add_text(reader_t *reader, const text_view_t *text)
{
    texts_t *self = reader->texts;
    self->found[self->views.count++] = *text;
    self->views.characters += text->length;
}

/* ---------------------------------------------------------------- an object with texts */

INLINE const uint8_t *skip_white(const uint8_t *at, const uint8_t *end)
{
    while ((at = skip_space(at, end)) < end && *at == '\n') at++;
    return at;
}

/* From behind the brace to the value of `texts`, past members of simple values; NULL where it is not reached so. */
static const uint8_t *find_texts(reader_t *reader, const uint8_t *at)
{
    const uint8_t *end = reader->end;
    text_view_t unused;
    for (;;) {
        at = skip_white(at, end);
        if (at == end || *at != '"') return NULL;
        int here = end - at > 7 && !memcmp(at, "\"texts\"", 7);
        at = read_string(reader, at + 1, &unused);
        if (at) at = skip_white(at, end);
        if (!at || at == end || *at != ':') return NULL;
        at = skip_white(at + 1, end);
        if (here) return at;
        if (at < end && *at == '"') at = read_string(reader, at + 1, &unused);
        else while (at < end && !strchr(",[]{}\"", *at)) at++; /* a number or a word; orjson will see whether it is */
        if (at) at = skip_white(at, end);
        if (!at || at == end || *at++ != ',') return NULL;
    }
}

/* An array of strings, from behind its bracket to behind the other one; NULL if it is not one, or on `failed`. */
static const uint8_t *read_strings(reader_t *reader, const uint8_t *at)
{
    const uint8_t *end = reader->end;
    text_view_t text;
    for (;;) {
        at = skip_white(at, end);
        if (at == end || *at != '"') return NULL;
        at = read_string(reader, at + 1, &text);
        if (!at) return NULL;
        if (!more_room(reader)) {
            reader->failed = 1;
            return NULL;
        }
        add_text(reader, &text);
        at = skip_white(at, end);
        if (at == end || (*at != ',' && *at != ']')) return NULL;
        if (*at++ == ']') return at;
    }
}

PyDoc_STRVAR(texts_doc,
             "texts(body) -> (Texts, bytes) | None\n\n"
             "The strings of the array `texts` of a JSON object, and the object with an empty one in its place, which has\n"
             "still to be read: what is wrong with the one is wrong with the other. None where they are not found so.");

static PyObject *texts_apart(PyObject *module, PyObject *body)
{
    const types_t *types = PyModule_GetState(module);
    if (!PyBytes_Check(body)) {
        PyErr_SetString(PyExc_TypeError, "texts takes bytes");
        return NULL;
    }
    texts_t *self = (texts_t *)types->texts->tp_alloc(types->texts, 0);
    if (!self) return NULL;
    self->content = Py_NewRef(body);
    const uint8_t *begin = (const uint8_t *)PyBytes_AS_STRING(body), *end = begin + PyBytes_GET_SIZE(body);
    reader_t reader = {.texts = self, .end = end};
    const uint8_t *at = skip_white(begin, end), *opened = NULL, *closed = NULL;
    if (at < end && *at == '{') at = find_texts(&reader, at + 1);
    else at = NULL;
    if (at && at < end && *at == '[') {
        opened = at + 1;
        closed = read_strings(&reader, opened);
    }
    if (!closed) {
        Py_DECREF(self);
        if (reader.failed) return PyErr_NoMemory();
        Py_RETURN_NONE;
    }
    PyObject *rest = PyBytes_FromStringAndSize(NULL, (opened - begin) + 1 + (end - closed));
    if (rest) {
        char *out = PyBytes_AS_STRING(rest);
        memcpy(out, begin, (size_t)(opened - begin));
        out[opened - begin] = ']';
        memcpy(out + (opened - begin) + 1, closed, (size_t)(end - closed));
    }
    return rest ? Py_BuildValue("(NN)", self, rest) : (Py_DECREF(self), NULL);
}

/* ---------------------------------------------------------------- lines */

static PyObject *line_others(PyObject *object, void *unused)
{
    (void)unused;
    return Py_NewRef(((lines_t *)object)->others);
}

#define HEAD_ROOM 40 /* of {"line": and a number, "id": and what closes */

/* The number of a line and its id, as they stand in an answer. */
static char *write_head(char *out, const head_t *head)
{
    char digits[24];
    int size = 0;
    for (unsigned long long rest = (unsigned long long)head->number; !size || rest; rest /= 10)
        digits[size++] = (char)('0' + rest % 10);
    while (size) *out++ = digits[--size];
    if (head->id.begin == head->id.end) return out;
    memcpy(out, ",\"id\":", 6);
    size_t length = (size_t)(head->id.end - head->id.begin);
    memcpy(out + 6, head->id.begin, length);
    return out + 6 + length;
}

static PyObject *line_heads(PyObject *object, PyObject *unused)
{
    (void)unused;
    lines_t *self = (lines_t *)object;
    PyObject *heads = PyList_New(self->texts.views.count);
    for (Py_ssize_t i = 0; heads && i < self->texts.views.count; i++) {
        const head_t *head = &self->heads[i];
        PyObject *written = PyBytes_FromStringAndSize(NULL, HEAD_ROOM + (head->id.end - head->id.begin));
        if (written) {
            char *end = write_head(PyBytes_AS_STRING(written), head);
            _PyBytes_Resize(&written, end - PyBytes_AS_STRING(written));
        }
        if (written) PyList_SET_ITEM(heads, i, written);
        else Py_CLEAR(heads);
    }
    return heads;
}

static void lines_dealloc(PyObject *object)
{
    lines_t *self = (lines_t *)object;
    Py_XDECREF(self->others);
    free(self->heads);
    texts_dealloc(object);
}

static int more_room_for_others(reader_t *reader)
{
    if (reader->other_count < reader->other_room) return 1;
    reader->other_room = reader->other_room * 2 + 16;
    head_t *others = realloc(reader->others, (size_t)reader->other_room * sizeof *others);
    if (others) reader->others = others;
    return others != NULL;
}

/* All lines from `at` on; without the GIL. Stops early on `failed`. */
static void read_lines(reader_t *reader, const uint8_t *at, long long number, Py_ssize_t most, Py_ssize_t longest)
{
    const uint8_t *end = reader->end;
    for (; at < end; number++) {
        const uint8_t *begin = at;
        text_view_t text = {NULL, 0, 0};
        span_t id = {NULL, NULL};
        size_t used = reader->used;
        at = skip_space(at, end);
        if (at == end) break;
        if (*at == '\n') {
            at++;
            continue;
        }
        at = *at == '"'   ? read_string(reader, at + 1, &text)
             : *at == '{' ? read_object(reader, at + 1, &text, &id)
                          : NULL;
        if (at) at = skip_space(at, end);
        if (at && (at == end || *at == '\n') && text.length <= most && at - begin <= longest) {
            if (!more_room(reader)) reader->failed = 1;
            if (reader->failed) return;
            reader->lines->heads[reader->texts->views.count] = (head_t){number, id};
            add_text(reader, &text);
        } else {
            reader->used = used;
            at = memchr(begin, '\n', (size_t)(end - begin));
            if (!at) at = end;
            if (!more_room_for_others(reader)) reader->failed = 1;
            if (reader->failed) return;
            reader->others[reader->other_count++] = (head_t){number, {begin, at}};
        }
        at++;
    }
}

static PyObject *lines_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *content;
    long long first;
    Py_ssize_t most, longest;
    if (kwargs && PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Lines takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "SLnn", &content, &first, &most, &longest)) return NULL;
    lines_t *self = (lines_t *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->texts.content = Py_NewRef(content);
    const uint8_t *at = (const uint8_t *)PyBytes_AS_STRING(content);
    reader_t reader = {.texts = &self->texts, .lines = self, .end = at + PyBytes_GET_SIZE(content)};
    PyThreadState *released = PyBytes_GET_SIZE(content) > GIL_BYTES ? PyEval_SaveThread() : NULL;
    read_lines(&reader, at, first, most, longest);
    if (released) PyEval_RestoreThread(released);
    if (reader.failed) PyErr_NoMemory();
    else self->others = PyList_New(reader.other_count);
    for (Py_ssize_t i = 0; self->others && i < reader.other_count; i++) {
        const head_t *other = &reader.others[i];
        const char *begin = (const char *)other->id.begin;
        PyObject *pair = Py_BuildValue("(Ly#)", other->number, begin, (Py_ssize_t)(other->id.end - other->id.begin));
        if (pair) PyList_SET_ITEM(self->others, i, pair);
        else Py_CLEAR(self->others);
    }
    free(reader.others);
    if (!self->others) Py_CLEAR(self);
    return (PyObject *)self;
}

#define VIEWS {"views", text_views, NULL, "A capsule of the texts; see textcnn/text/_texts.h.", NULL}
#define LENGTHS {"lengths", text_lengths, NULL, "How many code points each text has: int64, as bytes.", NULL}
#define PART {"part", text_part, METH_VARARGS, "part(begin, end) -> Texts: the texts from one to before another."}

static PyMethodDef texts_methods[] = {PART, {NULL}};

static PyGetSetDef texts_attributes[] = {VIEWS, LENGTHS, {NULL}};

static PyType_Slot texts_slots[] = {
    {Py_tp_doc, "Texts that stand in JSON, as a sequence."},
    {Py_tp_dealloc, texts_dealloc},
    {Py_tp_methods, texts_methods},
    {Py_tp_getset, texts_attributes},
    {Py_sq_length, text_count},
    {Py_sq_item, text_at},
    {0, NULL},
};

static PyType_Spec texts_spec = {
    .name = "service._wire.Texts",
    .basicsize = sizeof(texts_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = texts_slots,
};

static PyMethodDef lines_methods[] = {
    PART,
    {"heads", line_heads, METH_NOARGS, "heads() -> list of bytes: the number of each line and its id, as JSON."},
    {NULL},
};

static PyGetSetDef lines_attributes[] = {
    VIEWS,
    LENGTHS,
    {"others", line_others, NULL, "The lines that were not read: their numbers, and their bytes.", NULL},
    {NULL},
};

static PyType_Slot lines_slots[] = {
    {Py_tp_doc, "Lines(content, first, most_characters, longest_line): the texts of lines of JSON, as a sequence.\n\n"
                "`first` is the number of the first line. Blank lines are left out; `others` are those that are no text\n"
                "as it usually stands, or too long."},
    {Py_tp_new, lines_new},
    {Py_tp_dealloc, lines_dealloc},
    {Py_tp_methods, lines_methods},
    {Py_tp_getset, lines_attributes},
    {Py_sq_length, text_count},
    {Py_sq_item, text_at},
    {0, NULL},
};

static PyType_Spec lines_spec = {
    .name = "service._wire.Lines",
    .basicsize = sizeof(lines_t),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = lines_slots,
};

/* ---------------------------------------------------------------- answers */

#define PUT(out, literal) (memcpy((out), (literal), sizeof(literal) - 1), (out) += sizeof(literal) - 1)

INLINE char *put(char *out, const char *from, size_t size)
{
    memcpy(out, from, size);
    return out + size;
}

typedef struct {
    const char *begin;
    size_t size;
} piece_t;

/* The JSON of an array of numbers, apart. 0: they are not so many. */
static int split_numbers(const char *json, Py_ssize_t size, piece_t *numbers, Py_ssize_t count)
{
    const char *at = json + 1, *end = json + size;
    if (!count) return size == 2;
    for (Py_ssize_t i = 0; i < count; i++) {
        const char *begin = at;
        while (at < end && *at != ',' && *at != ']') at++;
        if (at == end || at == begin || (*at == ']') != (i == count - 1)) return 0;
        numbers[i] = (piece_t){begin, (size_t)(at++ - begin)};
    }
    return at == end;
}

PyDoc_STRVAR(write_doc,
             "write(labels, best, probabilities, abstained, heads) -> bytes\n\n"
             "Ranked labels as JSON. `labels` is a tuple of bytes, each a label as JSON; `best` int64[B, K] are places in\n"
             "it, `probabilities` the JSON of an array of B x K numbers, `abstained` bool[B]. `heads` None: items of an\n"
             "array; Lines, or a list of bytes: lines that begin so.");

static PyObject *write_ranking(PyObject *module, PyObject *args)
{
    PyObject *labels, *heads, *written = NULL;
    Py_buffer best = {0}, abstained = {0};
    const char *json;
    Py_ssize_t json_size;
    const types_t *types = PyModule_GetState(module);
    if (!PyArg_ParseTuple(args, "O!y*y#y*O", &PyTuple_Type, &labels, &best, &json, &json_size, &abstained, &heads))
        return NULL;
    Py_ssize_t count = abstained.len, places = best.len / (Py_ssize_t)sizeof(int64_t);
    Py_ssize_t top = count ? places / count : 1, known = PyTuple_GET_SIZE(labels);
    const int64_t *label_of = best.buf;
    const uint8_t *in_doubt = abstained.buf;
    const lines_t *lines = Py_IS_TYPE(heads, types->lines) ? (lines_t *)heads : NULL;
    const int as_lines = heads != Py_None;
    piece_t *numbers = PyMem_Malloc(((size_t)places + 1) * sizeof *numbers);
    piece_t *names = PyMem_Malloc(((size_t)known + 1) * sizeof *names);
    if (!numbers || !names) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < known; i++) {
        PyObject *name = PyTuple_GET_ITEM(labels, i);
        if (!PyBytes_Check(name)) goto wrong;
        names[i] = (piece_t){PyBytes_AS_STRING(name), (size_t)PyBytes_GET_SIZE(name)};
    }
    if (top < 1 || top * count != places || best.len % (Py_ssize_t)sizeof(int64_t)) goto wrong;
    if (json_size < 2 || !split_numbers(json, json_size, numbers, places)) goto wrong;
    if (as_lines && (lines ? lines->texts.views.count : PyList_Check(heads) ? PyList_GET_SIZE(heads) : -1) != count) goto wrong;

    /* each number is written once more where it is the first, and each of them with its label and 32 characters */
    size_t room = (size_t)json_size * 2 + 1;
    for (Py_ssize_t i = 0; i < places; i++) {
        if (label_of[i] < 0 || label_of[i] >= known) goto wrong;
        room += names[label_of[i]].size * (i % top ? 1 : 2) + 32;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        room += HEAD_ROOM + 80;
        if (lines) {
            room += (size_t)(lines->heads[i].id.end - lines->heads[i].id.begin);
        } else if (as_lines) {
            if (!PyBytes_Check(PyList_GET_ITEM(heads, i))) goto wrong;
            room += (size_t)PyBytes_GET_SIZE(PyList_GET_ITEM(heads, i));
        }
    }
    written = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
    if (!written) goto done;
    char *out = PyBytes_AS_STRING(written);
    PyThreadState *released = room > GIL_BYTES && (lines || !as_lines) ? PyEval_SaveThread() : NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        const int64_t *row = label_of + i * top;
        const piece_t *number = numbers + i * top;
        *out++ = '{';
        if (as_lines) {
            PUT(out, "\"line\":");
            if (lines) {
                out = write_head(out, &lines->heads[i]);
            } else {
                PyObject *head = PyList_GET_ITEM(heads, i);
                out = put(out, PyBytes_AS_STRING(head), (size_t)PyBytes_GET_SIZE(head));
            }
            *out++ = ',';
        }
        PUT(out, "\"label\":");
        if (in_doubt[i]) PUT(out, "null");
        else out = put(out, names[row[0]].begin, names[row[0]].size);
        PUT(out, ",\"probability\":");
        out = put(out, number[0].begin, number[0].size);
        PUT(out, ",\"top\":[");
        for (Py_ssize_t k = 0; k < top; k++) {
            if (k) *out++ = ',';
            PUT(out, "{\"label\":");
            out = put(out, names[row[k]].begin, names[row[k]].size);
            PUT(out, ",\"probability\":");
            out = put(out, number[k].begin, number[k].size);
            *out++ = '}';
        }
        *out++ = ']';
        if (in_doubt[i]) PUT(out, ",\"abstained\":true");
        *out++ = '}';
        if (as_lines) *out++ = '\n';
        else if (i < count - 1) *out++ = ',';
    }
    if (released) PyEval_RestoreThread(released);
    _PyBytes_Resize(&written, out - PyBytes_AS_STRING(written));
    goto done;
wrong:
    PyErr_SetString(PyExc_ValueError, "write needs as many numbers, heads and places of labels as there are answers");
done:
    PyMem_Free(numbers);
    PyMem_Free(names);
    PyBuffer_Release(&best);
    PyBuffer_Release(&abstained);
    return written;
}

/* ---------------------------------------------------------------- strings of any JSON */

static PyObject *quotes(PyObject *module, PyObject *body)
{
    (void)module;
    if (!PyBytes_Check(body)) {
        PyErr_SetString(PyExc_TypeError, "quotes takes bytes");
        return NULL;
    }
    const uint8_t *at = (const uint8_t *)PyBytes_AS_STRING(body), *end = at + PyBytes_GET_SIZE(body);
    Py_ssize_t count = 0;
    while (at < end) {
        if (end - at >= 8) {
            uint64_t eight, quote, slash;
            memcpy(&eight, at, 8);
            quote = eight ^ EACH * '"', slash = eight ^ EACH * '\\';
            if (!((((quote - EACH) & ~quote) | ((slash - EACH) & ~slash)) & EACH * 0x80)) { /* neither is there */
                at += 8;
                continue;
            }
        }
        count += *at == '"';
        at += *at == '\\' && end - at > 1 ? 2 : 1;
    }
    return PyLong_FromSsize_t(count);
}

/* ---------------------------------------------------------------- a request to be refused */

#define REQUEST_HEADERS 64 /* that are told apart; turn_away.py allows fewer */
#define LENGTH_DIGITS 18

/* What has a name: letters, digits and some signs (RFC 9110, 5.6.2). */
INLINE int is_token(uint8_t byte)
{
    uint8_t letter = byte | 0x20;
    return (letter >= 'a' && letter <= 'z') || (byte >= '0' && byte <= '9') || (byte && strchr("!#$%&'*+-.^_`|~", byte));
}

INLINE int is_called(span_t name, const char *lower)
{
    size_t size = (size_t)(name.end - name.begin);
    if (size != strlen(lower)) return 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = name.begin[i];
        if ((byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte) != (uint8_t)lower[i]) return 0;
    }
    return 1;
}

static int are_equal(span_t one, span_t other)
{
    if (one.end - one.begin != other.end - other.begin) return 0;
    for (; one.begin < one.end; one.begin++, other.begin++) {
        uint8_t a = *one.begin, b = *other.begin;
        if (a != b && ((a | 0x20) != (b | 0x20) || (a | 0x20) < 'a' || (a | 0x20) > 'z')) return 0;
    }
    return 1;
}

PyDoc_STRVAR(usual_request_doc,
             "usual_request(data, begin, most_bytes, most_headers) -> (path, id, end) | None\n\n"
             "As service.turn_away.usual_request, which says what it is.");

static PyObject *usual_request(PyObject *module, PyObject *args)
{
    static const char *const unusual[] = {"expect", "proxy-connection", "transfer-encoding", "upgrade"};
    PyObject *data;
    Py_ssize_t begin, most_bytes, most_headers;
    (void)module;
    if (!PyArg_ParseTuple(args, "Snnn", &data, &begin, &most_bytes, &most_headers)) return NULL;
    const uint8_t *all = (const uint8_t *)PyBytes_AS_STRING(data), *data_end = all + PyBytes_GET_SIZE(data);
    if (begin < 0 || begin > data_end - all) Py_RETURN_NONE;
    const uint8_t *at = all + begin, *end = data_end - at > most_bytes ? at + most_bytes : data_end;
    span_t names[REQUEST_HEADERS], id = {at, at}, path;
    int count = 0, has_length = 0;
    long long length = 0;
    if (end - at < 5 || memcmp(at, "POST ", 5)) Py_RETURN_NONE;
    path.begin = at += 5;
    while (at < end && *at > ' ' && *at < 0x7F) at++;
    path.end = at;
    if (path.begin == path.end || end - at < 11 || memcmp(at, " HTTP/1.1\r\n", 11)) Py_RETURN_NONE;
    for (at += 11; end - at < 2 || at[0] != '\r' || at[1] != '\n';) {
        span_t name = {at, at}, value;
        while (at < end && is_token(*at)) at++;
        name.end = at;
        if (name.begin == name.end || at == end || *at++ != ':') Py_RETURN_NONE;
        while (at < end && (*at == ' ' || *at == '\t')) at++;
        value.begin = at;
        while (at < end && (*at == '\t' || (*at >= ' ' && *at != 0x7F))) at++;
        value.end = at;
        if (end - at < 2 || at[0] != '\r' || at[1] != '\n') Py_RETURN_NONE;
        at += 2;
        if (count == REQUEST_HEADERS || count == most_headers) Py_RETURN_NONE;
        for (int i = 0; i < count; i++)
            if (are_equal(names[i], name)) Py_RETURN_NONE;
        names[count++] = name;
        for (int i = 0; i < 4; i++)
            if (is_called(name, unusual[i])) Py_RETURN_NONE;
        if (is_called(name, "connection") && !is_called(value, "keep-alive")) Py_RETURN_NONE;
        if (is_called(name, "x-request-id")) id = value;
        if (is_called(name, "content-length")) {
            if (value.begin == value.end || value.end - value.begin > LENGTH_DIGITS) Py_RETURN_NONE;
            for (; value.begin < value.end; value.begin++) {
                if (*value.begin < '0' || *value.begin > '9') Py_RETURN_NONE;
                length = length * 10 + (*value.begin - '0');
            }
            has_length = 1;
        }
    }
    at += 2;
    if (!has_length || length > data_end - at) Py_RETURN_NONE;
    return Py_BuildValue("(y#y#n)", path.begin, (Py_ssize_t)(path.end - path.begin), id.begin,
                         (Py_ssize_t)(id.end - id.begin), (Py_ssize_t)(at - all) + (Py_ssize_t)length);
}

/* ---------------------------------------------------------------- the module */

static PyMethodDef methods[] = {
    {"texts", texts_apart, METH_O, texts_doc},
    {"write", write_ranking, METH_VARARGS, write_doc},
    {"usual_request", usual_request, METH_VARARGS, usual_request_doc},
    {"quotes", quotes, METH_O, "quotes(body) -> int: quotation marks that open or close a string in valid JSON."},
    {NULL},
};

static int execute(PyObject *module)
{
    types_t *types = PyModule_GetState(module); /* which owns them; module_free lets them go */
    types->texts = (PyTypeObject *)PyType_FromModuleAndSpec(module, &texts_spec, NULL);
    types->lines = (PyTypeObject *)PyType_FromModuleAndSpec(module, &lines_spec, NULL);
    if (!types->texts || !types->lines) return -1;
    if (PyModule_AddType(module, types->texts) < 0 || PyModule_AddType(module, types->lines) < 0) return -1;
    return PyModule_AddStringConstant(module, "INTERFACE", INTERFACE);
}

static void module_free(void *module)
{
    types_t *types = PyModule_GetState(module);
    if (!types) return;
    Py_CLEAR(types->texts);
    Py_CLEAR(types->lines);
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_wire",
    .m_doc = "Between the wire and the model; see native_wire.py.",
    .m_size = sizeof(types_t),
    .m_methods = methods,
    .m_slots = module_slots,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__wire(void) { return PyModuleDef_Init(&module); }
