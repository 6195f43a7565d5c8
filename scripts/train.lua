--- train.lua - trains a softmax classifier on folders of images, DIR/train/CLASS/*.jpg and DIR/valid/CLASS/*.jpg
-- On a frozen backbone with pretrained weights (--weights imagenet, or a file), or from nothing.
-- lurcher/recipe/single_train.lua describes the network; `lurcher single_model` is the same recipe with the values of
-- the original.
-- Then: lurcher tune --run RUN, lurcher evaluate RUN DIR, lurcher predict RUN IMAGE...

require "lurcher.recipe.single_train"("train", "modern", arg)
