--- Tests of the layers in scripts/: the public library in scripts/lurcher/ knows nothing of scripts/lurcher/recipe/,
-- which only recipes use; modules that were renamed still have their old names.
local harness = require "harness"
local lfs = require "lfs"
local files = require "lurcher.files"
local test = harness.test

--- The modules below a folder of scripts/, as { name = text }, without those of lurcher.recipe.
local function modules(folder, found)
  found = found or {}
  for name in lfs.dir(harness.root .. "/scripts/" .. folder) do
    local path = folder .. "/" .. name
    if name:find "%.lua$" then
      found[path:gsub("%.lua$", ""):gsub("/", ".")] = assert(files.read(harness.root .. "/scripts/" .. path))
    elseif name:find "^%w" and path ~= "lurcher/recipe" then
      modules(path, found)
    end
  end
  return found
end

--- Whether a text requires a module of the recipes.
local function requires_recipe(text) return text:find "require *%(? *[\"']lurcher%.recipe%." ~= nil end

test("the library does not require lurcher.recipe", function()
  assert(requires_recipe 'local a = require "lurcher.recipe.options"' and requires_recipe "require('lurcher.recipe.x')")
  local count = 0
  for name, text in pairs(modules "lurcher") do
    count = count + 1
    assert(not requires_recipe(text), name .. " requires a module of lurcher.recipe")
  end
  assert(count > 25, count)
end)

test("every module of the library loads in a program of its own, and no module of lurcher.recipe with it", function()
  local lines = {}
  for name in pairs(modules "lurcher") do lines[#lines + 1] = ("require %q"):format(name) end
  table.sort(lines)
  lines[#lines + 1] = [[
    for name in pairs(package.loaded) do assert(not name:find("^lurcher%.recipe"), name) end
    print "apart"]]
  local path = harness.folder "modules" .. "/all.lua"
  assert(require "lurcher".write_file(path, table.concat(lines, "\n")))
  local output, code = harness.run(("'%s' '%s'"):format(harness.program, path))
  assert(code == 0 and output:find "apart", output)
end)

test("renamed modules have their old names, too", function()
  for old, now in pairs{ ["lurcher.options"] = "lurcher.recipe.options", ["lurcher.reading"] = "lurcher.preprocessing",
    ["lurcher.run_folder"] = "lurcher.recipe.run_folder", ["lurcher.pair_data"] = "lurcher.recipe.pair_batches",
    ["lurcher.pair_stage"] = "lurcher.recipe.pair_run", ["lurcher.single"] = "lurcher.recipe.single",
    ["lurcher.class_folders"] = "lurcher.recipe.class_folders", ["lurcher.pretrained"] = "lurcher.recipe.pretrained",
    ["lurcher.report.pictures"] = "lurcher.report.images", ["lurcher.prefix"] = "lurcher.frozen",
    ["lurcher.fixed_features"] = "lurcher.feature_cache" } do
    assert(require(old) == require(now), old)
  end
end)
