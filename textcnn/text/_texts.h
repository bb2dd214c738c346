/* Texts as compiled code hands them to compiled code, without a str of each: what the capsule TEXT_VIEWS points to. */
#ifndef TEXTCNN_TEXTS_H
#define TEXTCNN_TEXTS_H

#define TEXT_VIEWS "textcnn.text_views"

typedef struct {
    const void *data;
    Py_ssize_t length; /* code points */
    int kind;          /* bytes per code point; 0: ASCII */
} text_view_t;

typedef struct {
    const text_view_t *texts;
    Py_ssize_t count;
    Py_ssize_t characters; /* of all together */
} text_views_t;

#endif
