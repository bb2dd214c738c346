/* Words to ids without a Python object per token: str in, ragged int32 out. Plain C11; long batches release the GIL.
 *
 * word_ids.py owns the grammar (a regular expression, in tokenizer.json) and says for every code point what it becomes
 * and which part it plays; scan() below walks that grammar by hand. A text with a code point that word_ids.py calls
 * COMPLEX is given back undone, for the HF tokenizer to do: the ids are the same either way.
 *
 * Words are kept and compared as UTF-8 packed into 64-bit pieces, first byte lowest. A word of one piece is its own key
 * in the hash table, so most look-ups touch one cache line.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "_texts.h"

#define INLINE static inline __attribute__((always_inline))
#define PAGES 0x1100           /* of 256 code points each */
#define INTERFACE "7ce43b77"     /* as in word_ids.py */
#define UNKNOWN 1              /* id of <unk> */
#define LONGEST_SPELLED 64     /* characters of a longer word that are told, as in spelling.py */
#define GIL_CHARACTERS 50000   /* about 0.3 ms of work; below, taking the GIL back may cost more than it gave */

/* The same order as in word_ids.py. */
enum { COMPLEX, SPACE, WORD, MARK, LETTER, OTHER, APOSTROPHE, NON_JOINER, JOINER, SKIN_TONE, REGION };
#define ONE_OF(letter, set) ((1u << (letter)->part) & (set))
#define WORDS (1u << WORD | 1u << MARK)
#define GAPS (1u << SPACE | 1u << NON_JOINER | 1u << JOINER)
#define INNER (1u << APOSTROPHE | 1u << NON_JOINER | 1u << JOINER)
#define SYMBOLS (1u << OTHER | 1u << APOSTROPHE | 1u << SKIN_TONE | 1u << REGION)
#define TRAILERS (1u << MARK | 1u << SKIN_TONE)

typedef struct {
    uint32_t bytes; /* what the code point becomes, in UTF-8, first byte lowest */
    uint8_t length; /* of it, 1 to 4 */
    uint8_t part;   /* in the grammar */
    uint16_t unused;
} letter_t;

typedef struct {
    uint64_t key;   /* the word itself, or the hash of a longer one; 0: empty */
    int32_t id;
    uint32_t place; /* 0, or 1 + where in `pieces` the longer word stands: its number of pieces, then those */
} slot_t;

typedef struct {
    PyObject_HEAD
    PyObject *classify; /* page number -> bytes of 256 letter_t */
    _Atomic(letter_t *) pages[PAGES];
    slot_t *slots;
    unsigned shift; /* 64 - log2(number of slots) */
    uint64_t *pieces;
    size_t longest; /* pieces of the longest word */
    int32_t count;  /* words of the vocabulary */
} word_ids_t;

/* The word being read. */
typedef struct {
    uint64_t key;  /* the last piece, and how many bits of it are in use */
    unsigned bits;
    uint64_t hash; /* of the pieces before */
    size_t count;
    uint64_t *pieces; /* those pieces, the first `longest` of them */
    size_t longest;
} word_t;

typedef struct {
    word_ids_t *self;
    PyThreadState *released; /* NULL while this thread holds the GIL */
    int failed;              /* a Python exception is set, or memory ran out */
    int lower;               /* A-Z become a-z */
    Py_ssize_t first, last;  /* tokens kept of a longer text */
    int32_t *values;
    int64_t (*spans)[2];     /* of every value: the code points of its text that it was read from, from and to */
    int64_t unread[2];       /* of the last text: from the first token cut off to the last; equal if none was */
    int spanned;             /* whether spans are kept, and whether they and `unread` are asked for */
    int told;
    int spelled;             /* unknown words have ids of their own, from the number of words on, and are spelled */
    int32_t *letters;        /* the code points of those words, and where each ends */
    int64_t *ends;
    size_t used, room, letters_used, letters_room, ends_used, ends_room;
    word_t word;
} work_t;

static const letter_t COMPLEX_LETTER = {0, 0, COMPLEX, 0}, END = {0, 0, SPACE, 0};

/* ---------------------------------------------------------------- words and their ids */

INLINE uint64_t mix(uint64_t hash, uint64_t piece)
{
    hash = (hash ^ piece) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

INLINE size_t home(const word_ids_t *self, uint64_t key) { return key * 0x9e3779b97f4a7c15u >> self->shift; }

INLINE void start(word_t *word) { word->key = word->hash = word->bits = 0, word->count = 0; }

INLINE void close_piece(word_t *word)
{
    word->hash = mix(word->hash, word->key);
    if (word->count < word->longest) word->pieces[word->count] = word->key;
    word->count++;
}

INLINE void add(word_t *word, uint64_t bytes, unsigned bits)
{
    if (word->bits + bits <= 64) {
        word->key |= bytes << word->bits;
        word->bits += bits;
        return;
    }
    unsigned fits = 64 - word->bits; /* at most 24 bits */
    if (fits) word->key |= bytes << word->bits;
    close_piece(word);
    word->key = bytes >> fits;
    word->bits = bits - fits;
}

INLINE void add_letter(word_t *word, const letter_t *letter) { add(word, letter->bytes, letter->length * 8u); }

/* The slot of a finished word, or the empty one where it would go. */
INLINE slot_t *find(const word_ids_t *self, word_t *word)
{
    size_t mask = (UINT64_MAX >> self->shift), at;
    if (!word->count) {
        for (at = home(self, word->key); self->slots[at].key; at = (at + 1) & mask)
            if (self->slots[at].key == word->key && !self->slots[at].place) break;
        return &self->slots[at];
    }
    close_piece(word);
    uint64_t key = word->hash | 1; /* never the mark of an empty slot */
    for (at = home(self, key); self->slots[at].key; at = (at + 1) & mask) {
        if (self->slots[at].key != key || !self->slots[at].place || word->count > word->longest) continue;
        const uint64_t *known = self->pieces + self->slots[at].place - 1;
        size_t same = 0;
        if (known[0] == word->count)
            while (same < word->count && known[1 + same] == word->pieces[same]) same++;
        if (same == word->count) break;
    }
    return &self->slots[at];
}

/* ---------------------------------------------------------------- code points */

static const letter_t *fill_page(work_t *work, uint32_t number)
{
    word_ids_t *self = work->self;
    if (work->released) PyEval_RestoreThread(work->released);
    letter_t *page = NULL;
    PyObject *bytes = PyObject_CallFunction(self->classify, "I", number);
    if (bytes && (!PyBytes_Check(bytes) || PyBytes_GET_SIZE(bytes) != 256 * sizeof(letter_t)))
        PyErr_SetString(PyExc_ValueError, "classify must return 2048 bytes");
    else if (bytes && !(page = malloc(256 * sizeof(letter_t))))
        PyErr_NoMemory();
    if (page) {
        memcpy(page, PyBytes_AS_STRING(bytes), 256 * sizeof(letter_t));
        letter_t *other = NULL; /* classify may have let another thread in */
        if (!atomic_compare_exchange_strong(&self->pages[number], &other, page)) {
            free(page);
            page = other;
        }
    }
    Py_XDECREF(bytes);
    if (!page) work->failed = 1;
    if (work->released) work->released = PyEval_SaveThread();
    return page;
}

INLINE const letter_t *letter_at(work_t *work, const void *data, int kind, Py_ssize_t length, Py_ssize_t at)
{
    if (at >= length) return &END;
    uint32_t code = kind <= 1   ? ((const Py_UCS1 *)data)[at]
                    : kind == 2 ? ((const Py_UCS2 *)data)[at]
                                : ((const Py_UCS4 *)data)[at];
    const letter_t *page = atomic_load_explicit(&work->self->pages[code >> 8], memory_order_acquire);
    if (__builtin_expect(!page, 0) && !(page = fill_page(work, code >> 8))) return &COMPLEX_LETTER;
    return page + (code & 255);
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define EACH 0x0101010101010101u
/* High bit of every byte that is in [low, high], all bytes being below 128. */
#define BETWEEN(x, low, high) (((x) + EACH * (128 - (low))) & ~((x) + EACH * (127 - (high))) & EACH * 128)

/* Eight ASCII characters at a time: reads from the start of a word while whole eights are left; returns how far. */
INLINE Py_ssize_t read_ascii(word_t *word, int lower, const uint8_t *data, Py_ssize_t length, Py_ssize_t at)
{
    while (at + 8 <= length) {
        uint64_t eight;
        memcpy(&eight, data + at, 8);
        uint64_t letters = BETWEEN(eight | EACH * 0x20, 'a', 'z');
        uint64_t outside = (letters | BETWEEN(eight, '0', '9') | BETWEEN(eight, '_', '_')) ^ EACH * 128;
        if (lower) eight |= letters >> 2;
        unsigned bits = outside ? (unsigned)__builtin_ctzll(outside) - 7 : 64;
        if (!bits) break;
        if (word->bits) close_piece(word);
        word->key = eight & UINT64_MAX >> (64 - bits);
        word->bits = bits;
        at += bits / 8;
        if (bits < 64) break;
    }
    return at;
}
#else
INLINE Py_ssize_t read_ascii(word_t *word, int lower, const uint8_t *data, Py_ssize_t length, Py_ssize_t at)
{
    (void)word, (void)lower, (void)data, (void)length;
    return at;
}
#endif

/* ---------------------------------------------------------------- texts */

INLINE int is(const letter_t *letter, char wanted)
{
    return letter->length == 1 && (letter->bytes | 0x20) == (uint32_t)wanted;
}

static int more_room(work_t *work)
{
    size_t room = work->room * 2 + 1024;
    int32_t *values = realloc(work->values, room * sizeof(int32_t));
    if (!values) return 0;
    work->values = values;
    if (work->spanned) {
        void *spans = realloc(work->spans, room * sizeof *work->spans);
        if (!spans) return 0;
        work->spans = spans;
    }
    work->room = room;
    return 1;
}

/* Numbers the unknown words of the text that begins at `begin`, and spells each as the vocabulary is written. */
INLINE int spell(work_t *work, const void *data, const int kind, Py_ssize_t length, size_t begin)
{
    for (size_t i = begin; i < work->used; i++) {
        if (work->values[i] != UNKNOWN) continue;
        if (work->letters_used + LONGEST_SPELLED > work->letters_room) {
            size_t room = work->letters_room * 2 + 1024;
            int32_t *letters = realloc(work->letters, room * sizeof(int32_t));
            if (!letters) return 0;
            work->letters = letters, work->letters_room = room;
        }
        if (work->ends_used == work->ends_room) {
            size_t room = work->ends_room * 2 + 256;
            int64_t *ends = realloc(work->ends, room * sizeof(int64_t));
            if (!ends) return 0;
            work->ends = ends, work->ends_room = room;
        }
        size_t most = work->letters_used + LONGEST_SPELLED;
        for (Py_ssize_t at = work->spans[i][0]; at < work->spans[i][1]; at++) {
            const letter_t *letter = letter_at(work, data, kind, length, at);
            for (unsigned left = letter->length, bits = letter->bytes; left && work->letters_used < most;) {
                unsigned first = bits & 255, size = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
                uint32_t code = size == 1 ? first : first & (0x7Fu >> size);
                for (unsigned n = 1; n < size; n++) code = code << 6 | (bits >> (8 * n) & 63);
                work->letters[work->letters_used++] = (int32_t)code;
                left = left > size ? left - size : 0;
                bits = size < 4 ? bits >> (8 * size) : 0;
            }
        }
        work->values[i] = work->self->count + (int32_t)work->ends_used;
        work->ends[work->ends_used++] = (int64_t)work->letters_used;
    }
    return 1;
}

/* Appends the ids of one text. 0: it has something COMPLEX (or work->failed). `kind` is a constant at every call. */
INLINE int scan(work_t *work, const void *data, const int kind, Py_ssize_t length)
{
    word_t copy = work->word, *word = &copy; /* a copy can live in registers */
    size_t begin = work->used;
    Py_ssize_t at = 0;
    const letter_t *here, *next, *then;
#define PEEK(letter, where)                                                                                            \
    do {                                                                                                               \
        (letter) = letter_at(work, data, kind, length, (where));                                                       \
        if (kind && (letter)->part == COMPLEX) return 0;                                                               \
    } while (0)
#define TAKE()                                                                                                         \
    do {                                                                                                               \
        add_letter(word, here);                                                                                        \
        at++;                                                                                                          \
        PEEK(here, at);                                                                                                \
    } while (0)

    PEEK(here, 0);
    for (;;) {
        while (at < length && ONE_OF(here, GAPS)) {
            at++;
            PEEK(here, at);
        }
        if (at >= length) break;
        start(word);
        Py_ssize_t from = at;
        if (ONE_OF(here, WORDS)) {
            if (!kind) {
                at = read_ascii(word, work->lower, data, length, at);
                PEEK(here, at);
            }
            for (;;) {
                while (ONE_OF(here, WORDS)) TAKE();
                if (!ONE_OF(here, INNER)) break;
                PEEK(next, at + 1);
                if (!ONE_OF(next, WORDS)) break;
                TAKE();
            }
        } else if (here->part == LETTER) {
            TAKE();
            while (here->part == MARK) TAKE();
        } else {
            int clitic = 0; /* letters of 's 'm 'd 'll 're 've, where no word goes on */
            if (here->part == APOSTROPHE) {
                PEEK(next, at + 1);
                PEEK(then, at + 2);
                if (is(next, 's') || is(next, 'm') || is(next, 'd')) {
                    clitic = !ONE_OF(then, WORDS);
                } else if ((is(next, 'l') && is(then, 'l')) || ((is(next, 'r') || is(next, 'v')) && is(then, 'e'))) {
                    PEEK(next, at + 3);
                    clitic = ONE_OF(next, WORDS) ? 0 : 2;
                }
            }
            int flag = here->part == REGION;
            TAKE();
            if (clitic) {
                while (clitic--) TAKE();
            } else {
                if (flag && here->part == REGION) TAKE();
                for (;;) {
                    while (ONE_OF(here, TRAILERS)) TAKE();
                    if (here->part != JOINER) break;
                    PEEK(next, at + 1);
                    if (!ONE_OF(next, SYMBOLS)) break;
                    TAKE();
                    TAKE();
                }
            }
        }
        const slot_t *slot = find(work->self, word);
        if (work->used == work->room && !more_room(work)) {
            work->failed = 1;
            return 0;
        }
        if (work->spanned) work->spans[work->used][0] = from, work->spans[work->used][1] = at;
        work->values[work->used++] = slot->key ? slot->id : UNKNOWN;
        if (!work->last && !work->told && work->used - begin == (size_t)work->first) break;
    }
    size_t count = work->used - begin, kept = (size_t)(work->first + work->last);
    if (count > kept) {
        size_t tail = begin + count - (size_t)work->last, to = begin + (size_t)work->first;
        if (work->spanned) {
            work->unread[0] = work->spans[to][0], work->unread[1] = work->spans[tail - 1][1];
            memmove(work->spans + to, work->spans + tail, (size_t)work->last * sizeof *work->spans);
        }
        memmove(work->values + to, work->values + tail, (size_t)work->last * sizeof(int32_t));
        work->used = begin + kept;
    }
    if (work->spelled && !spell(work, data, kind, length, begin)) {
        work->failed = 1;
        return 0;
    }
    return 1;
}

static int scan_text(work_t *work, const text_view_t *text)
{
    switch (text->kind) {
    case 0: return scan(work, text->data, 0, text->length);
    case 1: return scan(work, text->data, 1, text->length);
    case 2: return scan(work, text->data, 2, text->length);
    default: return scan(work, text->data, 4, text->length);
    }
}

/* Texts and what keeps them where they are. */
typedef struct {
    PyObject *owner;
    text_view_t *own; /* NULL: they are the owner's */
    text_views_t views;
} texts_t;

/* The texts of a sequence of str, or of a capsule TEXT_VIEWS. 0: a Python exception is set. */
static int hold_texts(PyObject *given, texts_t *held)
{
    if (PyCapsule_CheckExact(given)) {
        const text_views_t *views = PyCapsule_GetPointer(given, TEXT_VIEWS);
        if (views) *held = (texts_t){Py_NewRef(given), NULL, *views};
        return views != NULL;
    }
    PyObject *texts = PySequence_Tuple(given); /* of its own: a list may change while the GIL is released */
    if (!texts) return 0;
    Py_ssize_t count = PyTuple_GET_SIZE(texts), characters = 0;
    text_view_t *own = PyMem_Malloc((size_t)(count ? count : 1) * sizeof *own);
    if (!own) PyErr_NoMemory();
    for (Py_ssize_t i = 0; own && i < count; i++) {
        PyObject *text = PyTuple_GET_ITEM(texts, i);
        if (!PyUnicode_Check(text)) {
            PyErr_Format(PyExc_TypeError, "text %zd is %s, not str", i, Py_TYPE(text)->tp_name);
            PyMem_Free(own);
            own = NULL;
            break;
        }
        int kind = PyUnicode_IS_ASCII(text) ? 0 : (int)PyUnicode_KIND(text);
        own[i] = (text_view_t){PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text), kind};
        characters += own[i].length;
    }
    if (own) *held = (texts_t){texts, own, {own, count, characters}};
    else Py_DECREF(texts);
    return own != NULL;
}

PyDoc_STRVAR(encode_doc,
             "encode(texts, first, last, spanned=False, spelled=False)\n"
             "    -> (values, offsets, undone[, spans, unread][, letters, bounds])\n\n"
             "The ids of all texts as a bytearray of int32, and where each text starts as one of int64. The texts are a\n"
             "sequence of str, or a capsule of what _texts.h says.\n"
             "Of a text with more than first + last tokens the first `first` and the last `last` are kept. The texts\n"
             "numbered in `undone` are empty in the result: HF has to do them. If `spanned`, also two bytearrays of pairs\n"
             "of int64: where each token begins and ends in its text, and each text's characters from the first token cut\n"
             "off to the end of the last, equal numbers where none was. If `spelled`, every unknown word has an id of its\n"
             "own, from the number of words on; `letters` has the code points of all of them, int32, and `bounds` where\n"
             "each begins, int64.");

static PyObject *encode(PyObject *object, PyObject *args)
{
    work_t work = {.self = (word_ids_t *)object};
    PyObject *given, *values = NULL, *undone = NULL, *spans = NULL, *unread = NULL, *letters = NULL, *bounds = NULL,
             *result = NULL;
    texts_t held;
    if (!PyArg_ParseTuple(args, "Onn|pp", &given, &work.first, &work.last, &work.told, &work.spelled)) return NULL;
    work.spanned = work.told || work.spelled;
    if (!hold_texts(given, &held)) return NULL;
    const text_view_t *texts = held.views.texts;
    Py_ssize_t count = held.views.count;
    PyObject *offsets = PyByteArray_FromStringAndSize(NULL, (count + 1) * (Py_ssize_t)sizeof(int64_t));
    uint8_t *missed = PyMem_Calloc((size_t)count + 1, 1);
    work.word.longest = work.self->longest;
    work.word.pieces = PyMem_Malloc((work.word.longest + 1) * sizeof(uint64_t));
    if (work.told) unread = PyByteArray_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof work.unread);
    if (!offsets || !missed || !work.word.pieces || (work.told && !unread)) {
        PyErr_NoMemory();
        goto done;
    }
    if (!atomic_load(&work.self->pages[0]) && !fill_page(&work, 0)) goto done;
    work.lower = atomic_load(&work.self->pages[0])['A'].bytes == 'a';

    int64_t *end = (int64_t *)(void *)PyByteArray_AS_STRING(offsets);
    int64_t(*unread_of)[2] = unread ? (void *)PyByteArray_AS_STRING(unread) : NULL;
    *end++ = 0;
    if (held.views.characters > GIL_CHARACTERS) work.released = PyEval_SaveThread();
    for (Py_ssize_t i = 0; i < count && !work.failed; i++) {
        size_t begin = work.used;
        work.unread[0] = work.unread[1] = 0;
        if (!scan_text(&work, &texts[i])) missed[i] = 1, work.used = begin;
        end[i] = (int64_t)work.used;
        if (unread_of) memcpy(unread_of[i], work.unread, sizeof work.unread);
    }
    if (work.released) PyEval_RestoreThread(work.released);
    if (work.failed) {
        if (!PyErr_Occurred()) PyErr_NoMemory();
        goto done;
    }
    values = PyByteArray_FromStringAndSize((const char *)work.values, (Py_ssize_t)(work.used * sizeof(int32_t)));
    undone = PyList_New(0);
    for (Py_ssize_t i = 0; undone && i < count; i++) {
        if (!missed[i]) continue;
        PyObject *number = PyLong_FromSsize_t(i);
        if (!number || PyList_Append(undone, number) < 0) Py_CLEAR(undone);
        Py_XDECREF(number);
    }
    if (!values || !undone) goto done;
    if (work.told) {
        spans = PyByteArray_FromStringAndSize((const char *)work.spans, (Py_ssize_t)(work.used * sizeof *work.spans));
        if (!spans) goto done;
    }
    if (work.spelled) {
        size_t size = work.ends_used * sizeof(int64_t);
        letters = PyByteArray_FromStringAndSize((const char *)work.letters, (Py_ssize_t)(work.letters_used * sizeof(int32_t)));
        bounds = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(size + sizeof(int64_t)));
        if (!letters || !bounds) goto done;
        memset(PyByteArray_AS_STRING(bounds), 0, sizeof(int64_t));
        if (size) memcpy(PyByteArray_AS_STRING(bounds) + sizeof(int64_t), work.ends, size);
    }
    result = work.told && work.spelled ? PyTuple_Pack(7, values, offsets, undone, spans, unread, letters, bounds)
             : work.told               ? PyTuple_Pack(5, values, offsets, undone, spans, unread)
             : work.spelled            ? PyTuple_Pack(5, values, offsets, undone, letters, bounds)
                                       : PyTuple_Pack(3, values, offsets, undone);
done:
    Py_DECREF(held.owner);
    PyMem_Free(held.own);
    PyMem_Free(missed);
    PyMem_Free(work.word.pieces);
    free(work.values);
    free(work.spans);
    free(work.letters);
    free(work.ends);
    Py_XDECREF(letters);
    Py_XDECREF(bounds);
    Py_XDECREF(spans);
    Py_XDECREF(unread);
    Py_XDECREF(values);
    Py_XDECREF(offsets);
    Py_XDECREF(undone);
    return result;
}

/* ---------------------------------------------------------------- the type */

/* Packs UTF-8 the way scan() packs letters. */
static void pack(word_t *word, const char *utf8, Py_ssize_t size)
{
    start(word);
    for (Py_ssize_t i = 0; i < size; i++) add(word, (uint8_t)utf8[i], 8);
}

static int fill_table(word_ids_t *self, PyObject *words)
{
    Py_ssize_t count = PyList_GET_SIZE(words), size;
    size_t total = 0;
    self->count = (int32_t)count;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!PyUnicode_AsUTF8AndSize(PyList_GET_ITEM(words, i), &size)) return 0;
        size_t pieces = ((size_t)size + 7) / 8;
        if (pieces > 1) total += pieces + 1;
        if (pieces > self->longest) self->longest = pieces;
    }
    size_t slots = 16;
    for (self->shift = 60; slots * 2 < (size_t)count * 3; slots *= 2) self->shift--;
    word_t word = {.longest = self->longest, .pieces = PyMem_Malloc((self->longest + 1) * sizeof(uint64_t))};
    self->slots = PyMem_Calloc(slots, sizeof(slot_t));
    self->pieces = PyMem_Malloc((total + 1) * sizeof(uint64_t));
    if (!word.pieces || !self->slots || !self->pieces || total >= UINT32_MAX) {
        PyMem_Free(word.pieces);
        PyErr_NoMemory();
        return 0;
    }
    size_t used = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        const char *utf8 = PyUnicode_AsUTF8AndSize(PyList_GET_ITEM(words, i), &size);
        if (!size || memchr(utf8, 0, (size_t)size)) continue; /* in no text; and zeros are what fills the last piece */
        pack(&word, utf8, size);
        slot_t *slot = find(self, &word);
        slot->id = (int32_t)i;
        slot->key = word.count ? word.hash | 1 : word.key;
        if (word.count) {
            slot->place = (uint32_t)used + 1;
            self->pieces[used++] = word.count;
            memcpy(self->pieces + used, word.pieces, word.count * sizeof(uint64_t));
            used += word.count;
        }
    }
    PyMem_Free(word.pieces);
    return 1;
}

static void dealloc(PyObject *object)
{
    word_ids_t *self = (word_ids_t *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_XDECREF(self->classify);
    for (int i = 0; i < PAGES; i++) free(atomic_load(&self->pages[i]));
    PyMem_Free(self->slots);
    PyMem_Free(self->pieces);
    type->tp_free(object);
    Py_DECREF(type);
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(((word_ids_t *)object)->classify);
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static int clear(PyObject *object)
{
    Py_CLEAR(((word_ids_t *)object)->classify);
    return 0;
}

static PyObject *create(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"words", "classify", NULL};
    PyObject *words, *classify;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O", names, &PyList_Type, &words, &classify)) return NULL;
    word_ids_t *self = (word_ids_t *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->classify = Py_NewRef(classify);
    if (!fill_table(self, words)) Py_CLEAR(self);
    return (PyObject *)self;
}

static PyMethodDef methods[] = {{"encode", encode, METH_VARARGS, encode_doc}, {NULL}};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, "WordIds(words, classify): word i of the list has id i; classify(page) describes 256 code points."},
    {Py_tp_new, create},
    {Py_tp_dealloc, dealloc},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec type_spec = {
    .name = "textcnn.text._word_ids.WordIds",
    .basicsize = sizeof(word_ids_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = type_slots,
};

static int execute(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &type_spec, NULL);
    if (!type) return -1;
    int status = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return status < 0 ? status : PyModule_AddStringConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_word_ids",
    .m_doc = "Words to ids; see word_ids.py.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__word_ids(void) { return PyModuleDef_Init(&module); }
