/* embed.c - Lurcher in a C program, without Lua: loads a trained model and classifies an image.
 *
 *   build/embed runs/quickstart/run/model.safetensors image.jpg
 *
 * To build a program of your own, where DIR is this project's folder:
 *
 *   cc -I DIR mine.c -L DIR/build -llurcher -Wl,-rpath,DIR/build
 *
 * It links liblurcher alone. Every function that can fail returns a status; lur_last_error() returns the message. The
 * names of the classes are in the metadata that the recipe saved with the model, a JSON text: this program prints it, a
 * real one would parse it. */
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
  lur_device *device = NULL; /* owned by the context */
  lur_model *model = NULL;
  lur_run *run = NULL;
  lur_dataset *set = NULL;
  lur_loader *loader = NULL;
  lur_loaded batch = {0};
  lur_tensor *scores = NULL;
  char *metadata = NULL;
  if (argc != 3) {
    fprintf(stderr, "usage: embed MODEL.safetensors IMAGE\n");
    return 2;
  }

  TRY(lur_context_new(0, 0, &context));
  TRY(lur_context_device(context, "auto", &device));
  TRY(lur_model_load(context, argv[1], &model, &metadata));
  TRY(lur_model_compile(model, &(lur_compile_options){.device = device}, &run));

  /* A dataset of one image, a batch of one. The loader preprocesses as in training: decode, resize, scale to -1..1. */
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
  printf("metadata of the model: %.200s...\n", metadata);
  code = 0;

fail:
  lur_tensor_release(scores);
  lur_loaded_free(&batch);
  lur_loader_release(loader);
  lur_dataset_release(set);
  lur_run_release(run);
  lur_model_release(model);
  lur_text_free(metadata);
  lur_context_release(context);
  return code;
}
