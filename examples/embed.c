/* embed.c - Lurcher in a C program, without Lua: loads a trained model and says what is in an image.
 *
 *   build/embed runs/quickstart/run/model.safetensors image.jpg
 *
 * A program of one's own is built with what this one is, DIR being this project's folder:
 *
 *   cc -I DIR mine.c -L DIR/build -llurcher -Wl,-rpath,DIR/build
 *
 * Links liblurcher alone. Every call that can fail returns a status; lur_last_error() has the message. The classes are
 * in the JSON text that the recipe saved with the model: a real program would read it with its own JSON reader. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/lurcher.h"

#define TRY(call)                                             \
  do {                                                        \
    if ((call) != LUR_OK) {                                   \
      fprintf(stderr, "embed: %s\n", lur_last_error());       \
      goto fail;                                              \
    }                                                         \
  } while (0)

int main(int argc, char **argv) {
  int code = 1;
  lur_context *context = NULL;
  lur_device *device = NULL; /* the context's: not ours to release */
  lur_model *model = NULL;
  lur_run *run = NULL;
  lur_dataset *set = NULL;
  lur_loader *loader = NULL;
  lur_loaded batch = {0};
  lur_tensor *scores = NULL;
  char *about = NULL;
  if (argc != 3) {
    fprintf(stderr, "usage: embed MODEL.safetensors IMAGE\n");
    return 2;
  }

  TRY(lur_context_new(0, 0, &context));
  TRY(lur_context_device(context, "auto", &device));
  TRY(lur_model_load(context, argv[1], &model, &about));
  TRY(lur_model_compile(model, &(lur_compile_options){.device = device}, &run));

  /* The loader does what training did: decode, resize, scale to -1..1. A set of one image, a batch of one. */
  const lur_shape *sample = lur_node_shape(lur_model_input(model, 0));
  TRY(lur_dataset_items(1, (const char *const[]){argv[2]}, NULL, NULL, NULL, &set));
  TRY(lur_loader_new(context, set,
                     &(lur_loader_options){.height = (int)sample->dim[0], .width = (int)sample->dim[1], .strict = true},
                     &loader));
  TRY(lur_loader_push(loader, 1, &(lur_load_field){"image", 1, (const int64_t[]){0}}));
  TRY(lur_loader_pop(loader, &batch));

  const char *name = lur_model_input_name(model, 0);
  TRY(lur_run_predict(run, &(lur_batch){1, &name, &batch.fields[0].images}, &scores));
  const float *p = lur_tensor_data(scores);
  int64_t classes = lur_tensor_shape(scores)->dim[1], best = 0;
  for (int64_t i = 1; i < classes; i++) {
    if (p[i] > p[best]) best = i;
  }
  printf("%s: class %lld of %lld, probability %.4f\n", argv[2], (long long)best, (long long)classes, (double)p[best]);
  printf("saved with the model: %.200s...\n", about);
  code = 0;

fail:
  lur_tensor_release(scores);
  lur_loaded_free(&batch);
  lur_loader_release(loader);
  lur_dataset_release(set);
  lur_run_release(run);
  lur_model_release(model);
  lur_text_free(about);
  lur_context_release(context);
  return code;
}
