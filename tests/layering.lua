--- Dependencies are one-way: scripts -> bindings -> engine -> kernels, and inside the engine run -> plan -> graph ->
-- tensor -> base (engine/README.md). This test reads the #include lines of the sources, the symbols of the object files
-- (with nm), and the requires of the library's scripts. It fails for every include, call or require that goes up, and
-- for every circle of files that is not listed below with a reason.
--
--     lurcher tests/layering.lua ROOT OBJECTS NM        OBJECTS: a file with one path of an object file per line
--     lurcher tests/layering.lua --planted NM CC FOLDER  plants one violation of each kind and expects failures

local lfs = require "lfs"

-- ---- the rule ----

-- Floor of a file: the first row whose pattern fits its path.
local floors = {
  { "^kernels/", "kernels" },
  { "^engine/[^/]+%.h$", "api" }, -- the public headers
  { "^engine/base/", "base" },
  { "^engine/tensor/", "tensor" },
  { "^engine/graph/", "graph" },
  { "^engine/layers/", "graph" }, -- one floor: a graph finds kinds by name, a kind appends to a graph's emitter
  { "^engine/plan/", "plan" },
  { "^engine/run/", "run" },
  { "^engine/data/", "data" },
  { "^engine/files/", "files" },
  { "^bindings/", "bindings" },
}

-- What each floor may use besides itself.
local below = {
  kernels = {},
  api = { "kernels" },
  base = { "api", "kernels" },
  tensor = { "base", "api", "kernels" },
  graph = { "tensor", "base", "api", "kernels" },
  plan = { "graph", "tensor", "base", "api", "kernels" },
  run = { "plan", "graph", "tensor", "base", "api", "kernels" },
  data = { "tensor", "base", "api", "kernels" }, -- beside files and graph
  files = { "run", "graph", "tensor", "base", "api", "kernels" }, -- beside plan: a file format knows no plan
  bindings = { "run", "plan", "graph", "tensor", "base", "data", "files", "api", "kernels" },
}
-- Where includes are held to less than calls: the bindings see the public headers only.
local includes_below = { bindings = { "api", "kernels" } }

-- Circles of files that may stay, each with its reason.
local known_circles = {}

-- ---- reading ----

local function floor_of(path)
  for _, row in ipairs(floors) do
    if path:find(row[1]) then return row[2] end
  end
end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

--- Calls visit with the path, relative to root, of every file below root/folder.
local function walk(root, folder, visit)
  if not lfs.attributes(root .. "/" .. folder) then return end
  for name in lfs.dir(root .. "/" .. folder) do
    local path = folder .. "/" .. name
    if name:sub(1, 1) ~= "." then
      if lfs.attributes(root .. "/" .. path, "mode") == "directory" then walk(root, path, visit) else visit(path) end
    end
  end
end

local function normalised(path)
  local parts = {}
  for part in path:gmatch "[^/]+" do
    if part == ".." then table.remove(parts) elseif part ~= "." then parts[#parts + 1] = part end
  end
  return table.concat(parts, "/")
end

--- Edges { from, to, how } of the #include lines: an include is looked for beside the file, then from the root.
local function include_edges(root, edges)
  local function visit(path)
    if not path:find "%.[ch]$" and not path:find "%.cuh?$" then return end
    for name in ("\n" .. read(root .. "/" .. path)):gmatch '\n%s*#%s*include%s*"([^"]+)"' do
      local beside = normalised((path:match "^(.*)/" or "") .. "/" .. name)
      local to = lfs.attributes(root .. "/" .. beside) and beside or normalised(name)
      if lfs.attributes(root .. "/" .. to) and floor_of(to) then
        edges[#edges + 1] = { from = path, to = to, how = "includes " .. to, include = true }
      end
    end
  end
  for _, folder in ipairs{ "kernels", "engine", "bindings" } do walk(root, folder, visit) end
end

--- "/build/CMakeFiles/lurcher_engine.dir/engine/plan/plan.c.o" is the object of engine/plan/plan.c.
local function source_of(object) return normalised(object:match "%.dir/(.*)%.o$" or "") end

--- Edges of the calls and reads that go from one object file to another.
local function symbol_edges(objects, nm, edges)
  local defined, used = {}, {}
  local pipe <close> = assert(io.popen(("xargs '%s' -A -P -g < '%s'"):format(nm, objects)))
  local lines = 0
  for line in pipe:lines() do
    local object, symbol, kind = line:match "^(.-): (%S+) (%a)"
    local source = object and source_of(object)
    if source and floor_of(source) then
      lines = lines + 1
      if kind == "U" then used[#used + 1] = { source, symbol }
      elseif kind ~= "w" then defined[symbol] = { source, kind == "T" } end
    end
  end
  assert(lines > 0, "nm found no symbol in the object files")
  for _, use in ipairs(used) do
    local to, is_call = table.unpack(defined[use[2]] or {}) -- none: of a library, or of a sanitizer
    if to and to ~= use[1] then
      edges[#edges + 1] = { from = use[1], to = to, call = is_call,
        how = ("%s %s of %s"):format(is_call and "calls" or "reads", use[2], to) }
    end
  end
end

-- ---- judging ----

local function contains(list, item)
  for _, entry in ipairs(list) do
    if entry == item then return true end
  end
  return false
end

local function upward(edges, failures)
  for _, e in ipairs(edges) do
    local from, to = floor_of(e.from), floor_of(e.to)
    local allowed = e.include and includes_below[from] or below[from]
    if from ~= to and not contains(allowed, to) then
      failures[#failures + 1] = ("%s %s: %s must not use %s"):format(e.from, e.how, from, to)
    end
  end
end

--- Whether an edge counts in a circle. Reads of data do in the engine only: in kernels and bindings they are tables (a
-- backend's rows, a Lua class's methods) that list their users by design.
local function ties(e) return e.include or e.call or e.from:find "^engine/" ~= nil end

--- Tarjan's strongly connected components of more than one file, each a sorted list.
local function circles(edges)
  local out, index, low, stacked, stack, found, count = {}, {}, {}, {}, {}, {}, 0
  for _, e in ipairs(edges) do
    out[e.from] = out[e.from] or {}
    if ties(e) then table.insert(out[e.from], e.to) end
  end
  local function visit(file)
    count = count + 1
    index[file], low[file], stacked[file] = count, count, true
    stack[#stack + 1] = file
    for _, to in ipairs(out[file] or {}) do
      if not index[to] then
        visit(to)
        low[file] = math.min(low[file], low[to])
      elseif stacked[to] then
        low[file] = math.min(low[file], index[to])
      end
    end
    if low[file] ~= index[file] then return end
    local circle, member = {}, nil
    repeat
      member = table.remove(stack)
      stacked[member] = nil
      circle[#circle + 1] = member
    until member == file
    table.sort(circle)
    if #circle > 1 then found[#found + 1] = circle end
  end
  for _, e in ipairs(edges) do
    if not index[e.from] then visit(e.from) end
  end
  return found
end

--- The known circle that holds every file of this one.
local function is_known(circle, known)
  for _, entry in ipairs(known) do
    local all = true
    for _, file in ipairs(circle) do all = all and contains(entry.files, file) end
    if all then
      entry.seen = true
      return true
    end
  end
end

local function unknown_circles(edges, known, failures)
  for _, circle in ipairs(circles(edges)) do
    if not is_known(circle, known) then
      failures[#failures + 1] = "a circle of files: " .. table.concat(circle, ", ")
      for _, e in ipairs(edges) do
        if ties(e) and contains(circle, e.from) and contains(circle, e.to) then
          failures[#failures + 1] = ("    %s %s"):format(e.from, e.how)
        end
      end
    end
  end
  for _, entry in ipairs(known) do
    if not entry.seen then print("no longer a circle, remove it from the list: " .. table.concat(entry.files, ", ")) end
  end
end

--- The library does not know the recipes' machinery.
local function upward_requires(root, failures)
  walk(root, "scripts/lurcher", function(path)
    if not path:find "%.lua$" or path:find "^scripts/lurcher/recipe/" then return end
    for name in read(root .. "/" .. path):gmatch "require%s*%(?%s*[\"'](lurcher%.recipe[%w_.]*)" do
      failures[#failures + 1] = ("%s requires %s: the library must not use the recipes"):format(path, name)
    end
  end)
end

--- All failures, one text each.
local function check(root, objects, nm, known)
  local edges, failures = {}, {}
  include_edges(root, edges)
  symbol_edges(objects, nm, edges)
  upward(edges, failures)
  unknown_circles(edges, known, failures)
  upward_requires(root, failures)
  return failures, #edges
end

-- ---- the planted violations ----

local planted = {
  ["engine/run/run.h"] = "int lur_run_steps(void);\n",
  ["engine/run/run.c"] = '#include "run.h"\nint lur_plan_size(void);\n' ..
    "int lur_run_steps(void) { return lur_plan_size(); }\n",
  ["engine/plan/plan.c"] = '#include "engine/run/run.h"\nint lur_plan_size(void) { return 1; }\n',
  ["engine/plan/call.c"] = "int lur_run_steps(void);\nint lur_plan_call(void) { return lur_run_steps(); }\n",
  ["engine/files/file.c"] = "int lur_plan_size(void);\nint lur_file(void) { return lur_plan_size(); }\n",
  ["bindings/run.c"] = '#include "../engine/run/run.h"\nint lur_bound(void) { return lur_run_steps(); }\n',
  ["engine/graph/read.c"] = "extern const int lur_run_limit;\nint lur_graph_read(void) { return lur_run_limit; }\n",
  ["engine/run/limit.c"] = "const int lur_run_limit = 3;\n",
  ["kernels/one.c"] = "int lur_two(int n);\nint lur_one(int n) { return n ? lur_two(n - 1) : 0; }\n",
  ["kernels/two.c"] = "int lur_one(int n);\nint lur_two(int n) { return n ? lur_one(n - 1) : 1; }\n",
  ["scripts/lurcher/fit.lua"] = 'local stage = require "lurcher.recipe.stage"\n',
  ["scripts/lurcher/recipe/stage.lua"] = 'local fit = require "lurcher.fit"\n',
}
local expected = {
  "engine/plan/plan.c includes engine/run/run.h: plan must not use run",
  "engine/plan/call.c calls lur_run_steps of engine/run/run.c: plan must not use run",
  "engine/graph/read.c reads lur_run_limit of engine/run/limit.c: graph must not use run",
  "engine/files/file.c calls lur_plan_size of engine/plan/plan.c: files must not use plan",
  "bindings/run.c includes engine/run/run.h: bindings must not use run",
  "a circle of files: kernels/one.c, kernels/two.c",
  "    kernels/one.c calls lur_two of kernels/two.c",
  "    kernels/two.c calls lur_one of kernels/one.c",
  "scripts/lurcher/fit.lua requires lurcher.recipe.stage: the library must not use the recipes",
}

local function run(format, ...)
  local command = format:format(...)
  assert(os.execute(command), command)
end

local function write(path, text)
  run("mkdir -p '%s'", path:match "^(.*)/")
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(text))
end

local function plant(cc, folder)
  local objects = {}
  for path, text in pairs(planted) do write(folder .. "/" .. path, text) end
  for path in pairs(planted) do
    if path:find "%.c$" then
      local object = ("%s/build/x.dir/%s.o"):format(folder, path)
      run("mkdir -p '%s'", object:match "^(.*)/")
      run("'%s' -I'%s' -c '%s/%s' -o '%s'", cc, folder, folder, path, object)
      objects[#objects + 1] = object
    end
  end
  write(folder .. "/objects", table.concat(objects, "\n") .. "\n")
end

local function planted_fail(nm, cc, folder)
  run("rm -rf '%s'", folder)
  plant(cc, folder)
  local failures = check(folder, folder .. "/objects", nm, {})
  for _, failure in ipairs(failures) do print("found: " .. failure) end
  for _, text in ipairs(expected) do assert(contains(failures, text), "not found: " .. text) end
  assert(#failures == #expected, ("%d failures, %d were planted"):format(#failures, #expected))
  local pair = { { files = { "kernels/one.c", "kernels/two.c" } } }
  assert(#check(folder, folder .. "/objects", nm, pair) == #expected - 3, "a listed circle is accepted")
  run("rm -rf '%s'", folder)
end

-- ---- main ----

if arg[1] == "--planted" then
  planted_fail(arg[2], arg[3], arg[4])
else
  local failures, edges = check(arg[1], arg[2], arg[3], known_circles)
  for _, failure in ipairs(failures) do print(failure) end
  print(("layering: %d includes and uses, %d failures"):format(edges, #failures))
  os.exit(#failures == 0)
end
