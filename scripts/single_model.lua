--- single_model.lua - trains a softmax classifier with the values of the original competition code
-- The recipe of `lurcher train` (lurcher/recipe/single_train.lua), with --preset original where none is given: the
-- first phase of the original's single_model.py.
-- Then: lurcher single_model_tune --run RUN, lurcher single_model_test --model RUN.

require "lurcher.recipe.single_train"("single_model", "original", arg)
