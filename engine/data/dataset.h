/* dataset.h - the inside of a dataset and how its makers (folder.c, list.c) fill one. */
#ifndef LUR_DATASET_H
#define LUR_DATASET_H

#include <stdatomic.h>

#include "engine/lurcher.h"

enum { LUR_MAX_COLUMNS = 8, LUR_COLUMN_NAME = 32 };

/* A list of texts that grows. */
typedef struct lur_texts {
  int64_t n, capacity;
  char **at;
} lur_texts;
lur_status lur_texts_add(lur_texts *texts, const char *text);
lur_status lur_texts_add_n(lur_texts *texts, const char *text, size_t count);
void lur_texts_free(lur_texts *texts);

typedef struct lur_item {
  char *path;
  char *name;     /* relative, as shown */
  int class_id;   /* -1: none */
  char **columns; /* dataset->ncolumns texts, or NULL */
} lur_item;

struct lur_dataset {
  atomic_int refs;
  int64_t size, capacity;
  lur_item *items;
  int nclasses, class_capacity;
  char **classes;
  int64_t *class_start; /* nclasses + 1: where a class begins in class_items */
  int64_t *class_items;
  int ncolumns;
  char columns[LUR_MAX_COLUMNS][LUR_COLUMN_NAME];
  char *source;      /* for messages and printing: "folder dogs/train" */
  lur_texts ignored; /* paths of files passed over because of their extension */
};

/* An empty set. source is copied. */
lur_status lur_dataset_new(const char *source, lur_dataset **dataset);
/* Appends a copy. columns: ncolumns texts or NULL. */
lur_status lur_dataset_add(lur_dataset *dataset, const char *path, const char *name, int class_id,
                           const char *const *columns);
/* Appends a class name, whatever is there. */
lur_status lur_dataset_add_class(lur_dataset *dataset, const char *name);
/* Position of a class by name, or -1. */
int lur_dataset_find_class(const lur_dataset *dataset, const char *name);
/* Sets classes and every item's class from one text an item (NULL: none): those of options in their order, else the
   texts found, byte-wise. LUR_EFORMAT for a text that options do not list. */
lur_status lur_dataset_classify(lur_dataset *dataset, const char *const *texts, const lur_dataset_options *options);
/* Builds the index by class. The last step of every maker. */
lur_status lur_dataset_finish(lur_dataset *dataset);

/* True when the lower-cased name ends in a dot and one of the options' extensions. */
bool lur_dataset_takes(const lur_dataset_options *options, const char *name);

#endif
