--- harness: the functions that every Lua test file uses. Results are printed as TAP (Test Anything Protocol); run.lua
-- turns them into the exit code of the process.
--
--   test(name, fn)            runs fn at once; the test also fails if fn leaves a handle open
--   near(got, want, tol)      got must be within tol + 1e-5 * |want| (tol 1e-6 by default); numbers, tables or tensors
--   raises(pattern, fn, ...)  fn must raise an error whose text matches the pattern; returns the text
--   skip(name, why)           reports a test that cannot run here; a failure if LURCHER_REQUIRE is set
--   folder(name)              a new empty folder for the test file, removed at the end
--   shared(path)              path of a file in the folder LURCHER_SHARED, or nil
--   weights(model)            copies of a model's weights, by "layer/name"
--   same(a, b)                whether two tables of tensors hold the same numbers; if not, false and a name
--   check_gradients(run, batch, options)  run:gradients() of a batch against finite differences of the loss (see below)
--   run(command)              output (both streams) and exit code of a shell command
--   commands(folder)          succeeds, complains and read, which run the program in a folder (see below)
--   program, root             absolute paths of the program and of the source tree
--
-- With LURCHER_GC=eager the garbage collector runs at every step, so that an object collected too early is noticed.

local lurcher = require "lurcher"
local lfs = require "lfs"

local harness = { count = 0, failed = 0 }

local function absolute(path)
  if path:sub(1, 1) == "/" then return path end
  return lfs.currentdir() .. "/" .. path
end

harness.root = absolute(arg[0]):gsub("/tests/lua/[^/]*$", "")
harness.program = absolute(arg[-1] or "lurcher")

if os.getenv "LURCHER_GC" == "eager" then
  collectgarbage("incremental", 0, 1000000)
end

local folders = {}

local function report(good, name, note)
  harness.count = harness.count + 1
  if not good then harness.failed = harness.failed + 1 end
  io.write(good and "ok " or "not ok ", harness.count, " - ", name, note and " # " .. note or "", "\n")
  io.flush()
end

--- Number of open handles after all garbage has been collected.
local function open_handles()
  collectgarbage()
  collectgarbage()
  return lurcher.handles()
end

--- Runs one test. Every handle that it opens must be closed or unreachable when it returns.
function harness.test(name, fn)
  local before = open_handles()
  local good, message = xpcall(fn, function(text) return debug.traceback(tostring(text), 2) end)
  local left = open_handles() - before
  if good and left ~= 0 then
    good, message = false, ("the test left %d handles open"):format(left)
  end
  report(good, name)
  if not good then io.write("# ", (message:gsub("\n", "\n# ")), "\n") end
end

--- Reports a test that cannot run here.
function harness.skip(name, why)
  report(os.getenv "LURCHER_REQUIRE" == nil, name, "SKIP " .. why)
end

local function differ(got, want, tolerance, where)
  if type(want) == "userdata" then want = want:totable() end
  if type(got) == "userdata" then got = got:totable() end
  if type(want) == "table" then
    if type(got) ~= "table" then return ("%s: table expected, got %s"):format(where, tostring(got)) end
    if #got ~= #want then return ("%s: %d values expected, got %d"):format(where, #want, #got) end
    for i = 1, #want do
      local difference = differ(got[i], want[i], tolerance, where .. "[" .. i .. "]")
      if difference then return difference end
    end
    return nil
  end
  local is_number = type(got) == "number"
  if is_number and (got == want or math.abs(got - want) <= tolerance + 1e-5 * math.abs(want)) then return nil end
  return ("%s: %s expected, got %s"):format(where, tostring(want), tostring(got))
end

--- Raises an error unless got is near want, element by element.
function harness.near(got, want, tolerance)
  local difference = differ(got, want, tolerance or 1e-6, "value")
  if difference then error(difference, 2) end
end

--- Calls fn, which must raise an error; returns its message.
function harness.raises(pattern, fn, ...)
  local good, message = pcall(fn, ...)
  message = tostring(message)
  if good then error(("an error like '%s' expected, got none"):format(pattern), 2) end
  if not message:find(pattern) then error(("an error like '%s' expected, got '%s'"):format(pattern, message), 2) end
  return message
end

--- Copies of a model's weights, by "layer/name".
function harness.weights(model)
  local all = {}
  for _, layer in ipairs(model.layers) do
    for name, value in pairs(layer:weights()) do all[layer.name .. "/" .. name] = value:clone() end
  end
  return all
end

--- Whether every tensor of `a` equals the tensor of the same name in `b`; if not, false and the first name that
-- differs. A NaN never equals anything.
function harness.same(a, b)
  assert(next(a), "nothing to compare")
  for name, tensor in pairs(a) do
    if not b[name] or not ((tensor - b[name]):abs():max() == 0) then return false, name end
  end
  return true
end

--- The sum of the products of two tensors' elements.
local function dot(a, b) return (a * b):sum() end

--- Derivatives of one weight against finite differences, along its gradient and along a random direction. Rounding of
-- the weights and of the loss, which are f32, limits the precision.
local function check_weight(entry, gradient, loss, o)
  local length, base = math.sqrt(dot(gradient, gradient)), entry.tensor:to "cpu":clone()
  local random = lurcher.normal(gradient.shape)
  random = random * (1 / math.sqrt(dot(random, random)))
  assert(length > 0, ("no gradient for %s/%s"):format(entry.layer, entry.name))
  for kind, direction in pairs{ along = gradient * (1 / length), random = random } do
    local step = o.step or 1e-2
    entry.tensor:copy(base + direction * step)
    local above = loss()
    entry.tensor:copy(base - direction * step)
    local slope, expected = (above - loss()) / (2 * step), dot(gradient, direction)
    entry.tensor:copy(base)
    if math.abs(slope - expected) > (o.tolerance or 1e-2) * length + (o.absolute or 1e-5) then
      error(("gradient of %s/%s (%s): %.6g expected by finite differences, got %.6g; its length is %.6g"):format(
        entry.layer, entry.name, kind, slope, expected, length), 0)
    end
  end
end

--- Checks run:gradients() of run:accumulate(batch) against finite differences of the loss that run:evaluate returns,
-- for every learned weight. The model must compute the same in training and in inference. Options: step (1e-2) of the
-- finite differences, tolerance (1e-2) of a derivative, relative to the length of the weight's gradient, absolute
-- (1e-5), skip (a set of names "layer/weight" without a gradient). Returns the number of weights.
function harness.check_gradients(run, batch, options)
  local o, gradients, checked = options or {}, {}, 0
  run:zero_gradients()
  run:accumulate(batch)
  for _, entry in ipairs(run:gradients()) do gradients[entry.layer .. "/" .. entry.name] = entry.tensor end
  run:zero_gradients()
  for _, entry in ipairs(run:weights()) do
    local name = entry.layer .. "/" .. entry.name
    if entry.learned and not (o.skip and o.skip[name]) then
      check_weight(entry, gradients[name], function() return run:evaluate(batch).loss end, o)
      checked = checked + 1
    end
  end
  return checked
end

--- A new empty folder.
function harness.folder(name)
  local path = os.tmpname()
  os.remove(path)
  path = path .. "_" .. name
  assert(lfs.mkdir(path))
  folders[#folders + 1] = path
  return path
end

--- Path of a file in the folder of shared data that LURCHER_SHARED names; nil if there is no such folder or file.
function harness.shared(path)
  local folder = os.getenv "LURCHER_SHARED" or ""
  local full = folder .. "/" .. path
  return folder ~= "" and lfs.attributes(full) and full or nil
end

--- Runs a shell command.
function harness.run(command)
  local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1; echo \"exit $?\"", "r"))
  local text = pipe:read "a"
  pipe:close()
  local output, code = text:match "^(.*)exit (%d+)\n$"
  return output, tonumber(code)
end

local function remove(path)
  if lfs.symlinkattributes(path, "mode") == "directory" then
    for name in lfs.dir(path) do
      if name ~= "." and name ~= ".." then remove(path .. "/" .. name) end
    end
    lfs.rmdir(path)
  else
    os.remove(path)
  end
end

--- Prints the plan, removes the folders and ends the process: exit code 0 if every test passed.
function harness.finish()
  for _, path in ipairs(folders) do remove(path) end
  io.write("1..", harness.count, "\n")
  if harness.failed > 0 then io.write(("# %d of %d failed\n"):format(harness.failed, harness.count)) end
  io.flush()
  os.exit(harness.failed == 0 and harness.count > 0, true)
end

--- For tests that run the program in `folder` as a user would:
--   succeeds(format, ...)                 runs `lurcher ARGUMENTS`, which must exit with 0; returns its output
--   complains(code, texts, format, ...)   must exit with the code and print every text, without a stack traceback
--   read(path)                            the content of a file in the folder
function harness.commands(folder)
  local function sh(format, ...)
    return harness.run(("cd '%s' && '%s' %s"):format(folder, harness.program, format:format(...)))
  end

  local function succeeds(...)
    local output, code = sh(...)
    assert(code == 0, output)
    return output
  end

  local function complains(code, texts, ...)
    local output, actual = sh(...)
    assert(actual == code, ("exit code %d expected, got %d: %s"):format(code, actual, output))
    for _, text in ipairs(texts) do assert(output:find(text, 1, true), ("'%s' expected in: %s"):format(text, output)) end
    assert(not output:find("stack traceback", 1, true), output)
  end

  local function read(path)
    local file = assert(io.open(path:sub(1, 1) == "/" and path or folder .. "/" .. path, "rb"))
    local text = file:read "a"
    file:close()
    return text
  end

  return succeeds, complains, read
end

return harness
