/* dataset.h - the internals of a dataset, and the functions with which folder.c and list.c fill one. */
#ifndef LUR_DATASET_H
#define LUR_DATASET_H

#include <stdatomic.h>

#include "engine/lurcher.h"

enum { LUR_MAX_COLUMNS = 8, LUR_COLUMN_NAME = 32 };

/* A growing list of texts. */
typedef struct lur_texts { /* zero-initialised: empty */
  int64_t n, capacity;
  char **at;
} lur_texts;
/* Appends a copy. */
lur_status lur_texts_add(lur_texts *texts, const char *text);
lur_status lur_texts_add_n(lur_texts *texts, const char *text, size_t count);
void lur_texts_sort(lur_texts *texts); /* byte-wise */
void lur_texts_free(lur_texts *texts);

typedef struct lur_item {
  char *path;
  char *name;     /* as shown: relative to the dataset's folder */
  int class_id;   /* -1: none */
  char **columns; /* dataset->ncolumns texts, or NULL */
} lur_item;

struct lur_dataset {
  atomic_int refs;
  int64_t size, capacity;
  lur_item *items;
  int nclasses, class_capacity;
  char **classes;
  int64_t *class_start; /* nclasses + 1 positions in class_items: where each class begins */
  int64_t *class_items; /* indices of the items that have a class, ordered by class */
  int ncolumns;
  char columns[LUR_MAX_COLUMNS][LUR_COLUMN_NAME];
  char *source;      /* for messages and printing: "folder 'dogs/train'" */
  lur_texts ignored; /* paths of files that were not taken because of their extension */
  lur_texts loose;   /* paths of images beside the class folders: they have no class */
};

/* An empty dataset. source is copied. */
lur_status lur_dataset_new(const char *source, lur_dataset **dataset);
/* Appends an item, with copies of the texts. columns: ncolumns texts, or NULL. */
lur_status lur_dataset_add(lur_dataset *dataset, const char *path, const char *name, int class_id,
                           const char *const *columns);
/* Appends a class name, without looking for an equal one. */
lur_status lur_dataset_add_class(lur_dataset *dataset, const char *name);
/* Position of a class by name, or -1. */
int lur_dataset_find_class(const lur_dataset *dataset, const char *name);
/* Sets the classes, and the class of each item from texts[i] (NULL: none). The classes are those of options in their
   order, or if there are none, the distinct texts in byte-wise order. LUR_EFORMAT: a text that options do not list. */
lur_status lur_dataset_classify(lur_dataset *dataset, const char *const *texts, const lur_dataset_options *options);
/* Builds class_start and class_items. The last step of making a dataset. */
lur_status lur_dataset_finish(lur_dataset *dataset);

/* Whether name has one of the options' extensions, in any case. */
bool lur_dataset_accepts(const lur_dataset_options *options, const char *name);

#endif
