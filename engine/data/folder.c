/* folder.c - datasets from folders: class folders, and a flat folder with a naming rule.
 *
 * The order is that of Keras 2.0.9 and later (keras/preprocessing/image.py, DirectoryIterator): classes byte-wise,
 * within a class by folder path, then by name. Symbolic links to files and to class folders are followed; links to
 * deeper folders are not, so that there are no cycles.
 *
 * What other programs leave in folders is passed over, unless options->hidden asks for it: names that begin with a dot
 * (.git, .ipynb_checkpoints, ._x.jpg) and those of `litter`. Keras counts them. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "dataset.h"

enum { MAX_DEPTH = 64, PATH_ROOM = 4096 };

static lur_status join(char out[PATH_ROOM], const char *a, const char *b) {
  size_t n = strlen(a);
  const char *slash = n && a[n - 1] == '/' ? "" : "/";
  int length = n ? snprintf(out, PATH_ROOM, "%s%s%s", a, slash, b) : snprintf(out, PATH_ROOM, "%s", b);
  if (length < 0 || length >= PATH_ROOM) return lur_fail(LUR_EIO, "path too long: %.200s...", a);
  return LUR_OK;
}

static bool is_hidden(const char *name) {
  static const char *const litter[] = {"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"};
  if (name[0] == '.') return true;
  for (size_t i = 0; i < sizeof litter / sizeof *litter; i++)
    if (strcasecmp(name, litter[i]) == 0) return true;
  return false;
}

/* The names in a folder except . and .., and unless `hidden`, without those that are hidden; sorted. */
static lur_status list_folder(const char *path, bool hidden, lur_texts *names) {
  DIR *dir = opendir(path);
  if (!dir) return lur_fail(LUR_EIO, "cannot open folder '%s': %s", path, strerror(errno));
  lur_status status = LUR_OK;
  errno = 0;
  for (struct dirent *entry; status == LUR_OK && (entry = readdir(dir)) != NULL;)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && (hidden || !is_hidden(entry->d_name)))
      status = lur_texts_add(names, entry->d_name);
  if (status == LUR_OK && errno != 0) status = lur_fail(LUR_EIO, "cannot read folder '%s': %s", path, strerror(errno));
  closedir(dir);
  lur_texts_sort(names);
  return status;
}

typedef enum kind { OTHER, REGULAR, FOLDER } kind;

static kind kind_of(const char *path, bool follow) {
  struct stat info;
  if ((follow ? stat(path, &info) : lstat(path, &info)) != 0) return OTHER;
  if (S_ISLNK(info.st_mode) && !follow) return stat(path, &info) == 0 && S_ISREG(info.st_mode) ? REGULAR : OTHER;
  return S_ISDIR(info.st_mode) ? FOLDER : S_ISREG(info.st_mode) ? REGULAR : OTHER;
}

typedef struct scan {
  lur_dataset *dataset;
  const lur_dataset_options *options;
  int class_id;
  lur_texts folders; /* relative paths of a class's folders, sorted before their files are added */
} scan;

static bool takes_hidden(const scan *s) { return s->options && s->options->hidden; }

/* Appends the folder `relative` and every folder below it. */
static lur_status find_folders(scan *s, const char *root, const char *relative, int depth) {
  if (depth > MAX_DEPTH) return lur_fail(LUR_EIO, "'%s/%s': folders nest deeper than %d", root, relative, MAX_DEPTH);
  LUR_TRY(lur_texts_add(&s->folders, relative));
  char path[PATH_ROOM], child[PATH_ROOM];
  LUR_TRY(join(path, root, relative));
  lur_texts names = {0};
  lur_status status = list_folder(path, takes_hidden(s), &names);
  for (int64_t i = 0; status == LUR_OK && i < names.n; i++) {
    status = join(child, path, names.at[i]);
    if (status != LUR_OK || kind_of(child, false) != FOLDER) continue;
    status = join(child, relative, names.at[i]);
    if (status == LUR_OK) status = find_folders(s, root, child, depth + 1);
  }
  lur_texts_free(&names);
  return status;
}

static lur_status add_files(scan *s, const char *root, const char *relative) {
  char folder[PATH_ROOM], path[PATH_ROOM], name[PATH_ROOM];
  LUR_TRY(join(folder, root, relative));
  lur_texts names = {0};
  lur_status status = list_folder(folder, takes_hidden(s), &names);
  for (int64_t i = 0; status == LUR_OK && i < names.n; i++) {
    status = join(path, folder, names.at[i]);
    if (status != LUR_OK || kind_of(path, true) == FOLDER) continue;
    if (!lur_dataset_accepts(s->options, names.at[i])) {
      status = lur_texts_add(&s->dataset->ignored, path);
      continue;
    }
    status = join(name, relative, names.at[i]);
    if (status == LUR_OK) status = lur_dataset_add(s->dataset, path, name, s->class_id, NULL);
  }
  lur_texts_free(&names);
  return status;
}

/* Adds every image in and below root/relative. */
static lur_status add_tree(scan *s, const char *root, const char *relative) {
  lur_status status = find_folders(s, root, relative, 0);
  lur_texts_sort(&s->folders);
  for (int64_t i = 0; status == LUR_OK && i < s->folders.n; i++) status = add_files(s, root, s->folders.at[i]);
  lur_texts_free(&s->folders);
  return status;
}

static lur_status new_scan(scan *s, const char *what, const char *path, const lur_dataset_options *options) {
  char source[PATH_ROOM + 32];
  *s = (scan){.options = options, .class_id = -1};
  kind found = kind_of(path, true);
  if (found == OTHER) return lur_fail(LUR_EIO, "data folder '%s': %s", path, strerror(errno ? errno : ENOENT));
  if (found == REGULAR) return lur_fail(LUR_EIO, "data folder '%s' is a file; a folder was expected", path);
  snprintf(source, sizeof source, "%s '%s'", what, path);
  return lur_dataset_new(source, &s->dataset);
}

/* ---- class folders ---- */

static lur_status add_class_folder(scan *s, const char *root, const char *name, bool given) {
  s->class_id = lur_dataset_find_class(s->dataset, name);
  if (s->class_id < 0 && given)
    return lur_fail(LUR_EFORMAT,
                    "%s: class '%s' is not one of the %d given classes (usually those of the training set)",
                    s->dataset->source, name, s->dataset->nclasses);
  if (s->class_id < 0) {
    LUR_TRY(lur_dataset_add_class(s->dataset, name));
    s->class_id = s->dataset->nclasses - 1;
  }
  return add_tree(s, root, name);
}

static lur_status scan_classes(scan *s, const char *root) {
  bool given = s->options && s->options->nclasses > 0;
  for (int i = 0; given && i < s->options->nclasses; i++)
    LUR_TRY(lur_dataset_add_class(s->dataset, s->options->classes[i]));
  lur_texts names = {0};
  char path[PATH_ROOM];
  int64_t folders = 0;
  lur_status status = list_folder(root, takes_hidden(s), &names);
  for (int64_t i = 0; status == LUR_OK && i < names.n; i++) {
    status = join(path, root, names.at[i]);
    if (status != LUR_OK) continue;
    if (kind_of(path, true) != FOLDER) {
      bool is_image = lur_dataset_accepts(s->options, names.at[i]);
      status = lur_texts_add(is_image ? &s->dataset->loose : &s->dataset->ignored, path);
      continue;
    }
    folders++;
    status = add_class_folder(s, root, names.at[i], given);
  }
  lur_texts_free(&names);
  if (status == LUR_OK && folders == 0)
    status =
        lur_fail(LUR_EFORMAT, "data folder '%s' has no class folders (one folder of images per class expected)", root);
  if (status == LUR_OK && s->dataset->size == 0)
    status = lur_fail(LUR_EFORMAT, "data folder '%s': no image in its %lld class folders (%lld other files)", root,
                      (long long)folders, (long long)s->dataset->ignored.n);
  return status;
}

lur_status lur_dataset_folder(const char *path, const lur_dataset_options *options, lur_dataset **dataset) {
  scan s;
  LUR_TRY(new_scan(&s, "folder", path, options));
  lur_status status = scan_classes(&s, path);
  if (status == LUR_OK) status = lur_dataset_finish(s.dataset);
  if (status == LUR_OK) *dataset = s.dataset;
  else lur_dataset_release(s.dataset);
  return status;
}

/* ---- flat folders with a naming rule ---- */

typedef struct rule { /* "{class}_c{camera}s{}": literals before, between and after the captures */
  int n;              /* captures */
  char literal[LUR_MAX_COLUMNS + 2][LUR_COLUMN_NAME]; /* literal[i] precedes capture i; literal[n] ends the name */
  int column[LUR_MAX_COLUMNS + 2];                    /* of the dataset; -1: ignored, -2: the class */
} rule;

static lur_status rule_capture(rule *r, lur_dataset *d, const char *text, const char *name, size_t n) {
  if (n >= LUR_COLUMN_NAME)
    return lur_fail(LUR_EARG, "naming rule '%s': a name in {} is longer than %d", text, LUR_COLUMN_NAME - 1);
  if (r->n > LUR_MAX_COLUMNS) return lur_fail(LUR_EARG, "naming rule '%s': more than %d {}", text, LUR_MAX_COLUMNS + 1);
  int column = -1;
  if (n == 5 && memcmp(name, "class", 5) == 0) column = -2;
  else if (n) {
    if (d->ncolumns == LUR_MAX_COLUMNS)
      return lur_fail(LUR_EARG, "naming rule '%s': more than %d columns", text, LUR_MAX_COLUMNS);
    column = d->ncolumns++;
    memcpy(d->columns[column], name, n);
    d->columns[column][n] = 0;
  }
  r->column[r->n++] = column;
  return LUR_OK;
}

static lur_status rule_parse(rule *r, lur_dataset *d, const char *text) {
  *r = (rule){0};
  size_t literal = 0;
  for (const char *p = text; *p; p++) {
    if (*p == '{') {
      const char *end = strchr(p, '}');
      if (!end) return lur_fail(LUR_EARG, "naming rule '%s': a { has no }", text);
      if (r->n && literal == 0)
        return lur_fail(LUR_EARG, "naming rule '%s': two {} need a character between them", text);
      LUR_TRY(rule_capture(r, d, text, p + 1, (size_t)(end - p - 1)));
      p = end;
      literal = 0;
    } else {
      if (literal + 1 >= LUR_COLUMN_NAME)
        return lur_fail(LUR_EARG, "naming rule '%s': more than %d characters between {}", text, LUR_COLUMN_NAME - 1);
      r->literal[r->n][literal++] = *p;
    }
  }
  return LUR_OK;
}

/* Matches stem, the name without folder and extension. A capture is as short as possible; the last takes the rest.
   Captures go to out[column] or *class_text. */
static bool rule_match(const rule *r, const char *stem, char **class_text, char **out) {
  if (strncmp(stem, r->literal[0], strlen(r->literal[0])) != 0) return false;
  const char *at = stem + strlen(r->literal[0]);
  for (int i = 0; i < r->n; i++) {
    const char *next = r->literal[i + 1];
    const char *end = *next ? strstr(at, next) : at + strlen(at);
    if (!end || end == at) return false;
    size_t n = (size_t)(end - at);
    char **to = r->column[i] == -2 ? class_text : r->column[i] >= 0 ? &out[r->column[i]] : NULL;
    if (to) {
      free(*to);
      *to = strndup(at, n);
      if (!*to) return false;
    }
    at = end + strlen(next);
  }
  return *at == 0;
}

static char *stem_of(const char *name) {
  const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name, *dot = strrchr(base, '.');
  return strndup(base, dot ? (size_t)(dot - base) : strlen(base));
}

static lur_status apply_rule(lur_dataset *d, const rule *r, const char *text, char **classes) {
  for (int64_t i = 0; i < d->size; i++) {
    lur_item *item = &d->items[i];
    char *stem = stem_of(item->name);
    item->columns = calloc((size_t)d->ncolumns + 1, sizeof *item->columns);
    if (!stem || !item->columns) {
      free(stem);
      return lur_fail(LUR_ENOMEM, "out of memory for a dataset");
    }
    bool fits = rule_match(r, stem, &classes[i], item->columns);
    free(stem);
    if (!fits) return lur_fail(LUR_EFORMAT, "%s: name '%s' does not fit the rule '%s'", d->source, item->name, text);
  }
  return LUR_OK;
}

static lur_status name_classes(lur_dataset *d, const char *text, const lur_dataset_options *options) {
  rule r;
  LUR_TRY(rule_parse(&r, d, text));
  char **classes = calloc((size_t)d->size + 1, sizeof *classes);
  if (!classes) return lur_fail(LUR_ENOMEM, "out of memory for a dataset");
  lur_status status = apply_rule(d, &r, text, classes);
  if (status == LUR_OK) status = lur_dataset_classify(d, (const char *const *)classes, options);
  for (int64_t i = 0; i < d->size; i++) free(classes[i]);
  free(classes);
  return status;
}

lur_status lur_dataset_flat(const char *path, const char *name_rule, const lur_dataset_options *options,
                            lur_dataset **dataset) {
  scan s;
  LUR_TRY(new_scan(&s, "flat folder", path, options));
  lur_status status = add_tree(&s, path, "");
  if (status == LUR_OK && s.dataset->size == 0)
    status = lur_fail(LUR_EFORMAT, "data folder '%s' has no image (%lld other files)", path,
                      (long long)s.dataset->ignored.n);
  if (status == LUR_OK && name_rule) status = name_classes(s.dataset, name_rule, options);
  if (status == LUR_OK) status = lur_dataset_finish(s.dataset);
  if (status == LUR_OK) *dataset = s.dataset;
  else lur_dataset_release(s.dataset);
  return status;
}
