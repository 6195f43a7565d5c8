--- tune.lua - trains a classifier further, including the last layers of its backbone
-- lurcher/recipe/single_tune.lua describes it; `lurcher single_model_tune` is the same recipe with the values of the
-- original.
-- Then: lurcher evaluate RUN DIR, lurcher predict RUN IMAGE...

require "lurcher.recipe.single_tune"("tune", "modern", arg)
