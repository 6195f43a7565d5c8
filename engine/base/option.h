/* option.h - options are declared, not parsed by hand: one table per layer kind or optimizer drives checking,
 * defaults, "did you mean", printing and saving. To add an option: a row, and the field that it sets. */
#ifndef LUR_OPTION_H
#define LUR_OPTION_H

#include "engine/lurcher.h"

typedef enum lur_option_type {
  LUR_OPT_BOOL,   /* bool */
  LUR_OPT_INT,    /* int64_t */
  LUR_OPT_REAL,   /* double */
  LUR_OPT_PAIR,   /* int64_t[2]; one number sets both */
  LUR_OPT_SHAPE,  /* lur_shape */
  LUR_OPT_INTS,   /* lur_shape; one integer or a list, and one is saved as such */
  LUR_OPT_CHOICE, /* int: position in `choices` */
  LUR_OPT_TEXT    /* char[LUR_OPTION_TEXT] */
} lur_option_type;

enum { LUR_OPTION_TEXT = 128 };

typedef struct lur_option {
  const char *name;
  lur_option_type type;
  size_t offset;              /* of the field in the options struct */
  const char *def;            /* text of the default, as a user would write it; NULL: required */
  double min, max;            /* of numbers; both 0: unbounded; max under min, or 2^30 and more: no upper bound */
  const char *const *choices; /* NULL-terminated, of LUR_OPT_CHOICE */
  const char *help;
} lur_option;

/* A table ends with a row without a name. Its `choices` may list other names that are accepted: pairs of the other name
   and the option's, then NULL. */

/* Fills `options` (a struct of the table's owner, size bytes) with defaults, then settings. Positional settings go to
   the rows in declared order. `skip` names options of another table, which are ignored (NULL-terminated; may be NULL).
   LUR_EARG: "bad option 'stride' to 'conv2d' (positive integer expected, got \"2x\")",
   "unknown option 'strides' to 'conv2d' (did you mean 'stride'?)". */
lur_status lur_options_read(const char *owner, const lur_option *table, const lur_setting *settings, int n,
                            const char *const *skip, void *options, size_t size);
/* Writes "name = value, ..." of the options that differ from their default (all of them with all true). Returns the
 * length needed. */
int lur_options_format(const lur_option *table, const void *options, bool all, char *text, size_t capacity);
/* One option's value as a setting, for saving; text lives as long as options. */
void lur_option_get(const lur_option *option, const void *options, lur_setting *setting);
bool lur_option_is_default(const lur_option *option, const void *options);
/* For lur_layer_kind_options and similar functions. */
int lur_options_info(const lur_option *table, lur_option_info *info, int capacity);

#endif
