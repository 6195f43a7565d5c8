--- single_model_tune.lua - trains a single_model further, with the values of the original competition code
-- The recipe of `lurcher tune` (lurcher/recipe/single_tune.lua), with --preset original where none is given.
-- Then: lurcher single_model_test --model RUN.

require "lurcher.recipe.single_tune"("single_model_tune", "original", arg)
