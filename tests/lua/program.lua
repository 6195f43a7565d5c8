--- Tests of the program: arguments, exit codes, one-line errors, recipes, standard input, the module in a stock Lua.
local harness = require "harness"
local test = harness.test
local program, folder = "'" .. harness.program .. "'", harness.folder "program"

local function write(name, text)
  local path = folder .. "/" .. name
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

--- Runs the program; its output must match the pattern `want`.
local function expect(command, want, code)
  local output, got = harness.run(command)
  assert(output:find(want), ("%s\nexpected: %s\ngot: %s"):format(command, want, output))
  assert(got == (code or 0), ("%s\nexit code %d expected, got %d"):format(command, code or 0, got))
  return output
end

test("version, help, devices, recipes", function()
  expect(program .. " --version", "^Lurcher %d+%.%d+%.%d+ %(Lua 5%.4%)\n$")
  local facts = expect("LURCHER_CPU_ISA=portable LURCHER_THREADS=1 " .. program .. " --version --verbose",
    "^Lurcher +%d+%.%d+%.%d+\n")
  for _, fact in ipairs{ "compiler", "oneDNN", "found", "used +loops: portable", "environment +LURCHER_CPU_ISA=portable",
    "devices +ref cpu", "Lua", "path", "cpath" } do assert(facts:find("\n" .. fact), fact .. "\n" .. facts) end
  expect(program .. " --help", "^usage: lurcher")
  expect(program .. " help", "^usage: lurcher.*lurcher cache ")
  expect(program .. " help conv2d", "^nn%.conv2d%(options, %.%.%.%)\n.*\n    filters +at least 1: output channels")
  expect(program .. " help learning rate", "'learning rate' occurs in:\n.*run, lr %- learning rate")
  expect(program .. " help single_model", "^recipe single_model: .*`lurcher single_model %-%-help`")
  expect(program .. " devices", "^ref\ncpu\n")
  local recipes = expect(program .. " recipes", "single_model")
  for line in recipes:gmatch "[^\n]+" do assert(line:find "^  [%w_ ]+ +%S" and #line <= 80, line) end
  for _, columns in ipairs{ 60, 72, 100 } do
    for _, arguments in ipairs{ "recipes", "single_model --help", "retrain --help", "audit --help" } do
      local longest = 0
      for line in expect(("COLUMNS=%d %s %s"):format(columns, program, arguments), "."):gmatch "[^\n]+" do
        longest = math.max(longest, #line)
      end
      assert(longest <= columns and longest > columns - 20, ("%s: %d of %d"):format(arguments, longest, columns))
    end
  end
  for line in expect(program .. " --help", "."):gmatch "[^\n]+" do assert(#line <= 80, line) end
  expect(program .. " single_model --help", "%-%-data")
end)

test("code, scripts, arguments, standard input", function()
  expect(program .. " -e 'print(lurcher.version)' -e 'print(2)'", "^%d+%.%d+%.%d+\n2\n$")
  local script = write("args.lua", "print(arg[0]:match '[^/]*$', #arg, arg[1], ...) return 3")
  expect(program .. " " .. script .. " a 'b c'", "^args.lua\t2\ta\ta\tb c\n$")
  expect("echo 'print(1 + 1)' | " .. program .. " -", "^2\n$")
  expect(program .. " -e 'x = 1' " .. write("x.lua", "print(x)"), "^1\n$")
  expect(program .. " -e ''", "^$")
end)

test("mistakes: one line, exit code 1", function()
  expect(program .. " --nonsense", "^lurcher: unknown option '%-%-nonsense'\n", 1)
  expect(program .. " nothing.lua", "^lurcher: cannot open 'nothing.lua': No such file or directory\n$", 1)
  expect(program .. " singel_model", "^lurcher: no script and no recipe 'singel_model' %(did you mean 'single_model'%?%)\n$", 1)
  expect(program .. " xyzzy", "^lurcher: no script and no recipe 'xyzzy'; `lurcher recipes` lists the recipes\n$", 1)
  expect(program .. " devices cpu", "^lurcher: 'devices' takes no argument", 1)
  expect(program .. " help convv2d", "^no help about 'convv2d' %(did you mean 'conv2d'%?%)\n$", 1)
  expect("ulimit -f 1; " .. program .. " -e 'assert(lurcher.write_file(\"big\", (\"x\"):rep(1 << 20)))'",
    "^lurcher: .*cannot write 'big': File too large", 1)
  expect(program .. " -e 'error \"no\"'", "^lurcher: %(command line%):1: no\n$", 1)
  expect(program .. " -e 'x ='", "^lurcher: %(command line%):1: unexpected symbol near <eof>\n$", 1)
  expect(program .. " -e 'error{}'", "^lurcher: %(error object is a table value%)\n$", 1)
  expect(program .. " -e 'error(setmetatable({}, { __tostring = function() return \"mine\" end }))'", "^lurcher: mine\n$", 1)
  local script = write("bad.lua", "local function f() local t = nil; return t.x end\nf()\n")
  expect(program .. " " .. script, "^lurcher: [^\n]*bad.lua:1: attempt to index a nil value %(local 't'%)\n$", 1)
  expect(program .. " --trace " .. script, "stack traceback:\n.*bad.lua:2: in main chunk", 1)
  expect(program .. " -e 'assert(lurcher.nn.load \"/nowhere\")'", "^lurcher: [^\n]*/nowhere[^\n]*\n$", 1)
  expect(program .. " -e 'os.exit(7)'", "^$", 7)
  for _, arguments in ipairs{ "-e ''", "audit /", "single_model --data nothing", "devices" } do
    expect("LURCHER_CPU_ISA=foo " .. program .. " " .. arguments,
      "^lurcher: LURCHER_CPU_ISA is \"foo\" %(portable, avx2 or avx512 expected%)\n$", 1)
    expect("LURCHER_THREADS=foo " .. program .. " " .. arguments,
      "^lurcher: LURCHER_THREADS is \"foo\" %(an integer from 1 to 1024 expected%)\n$", 1)
  end
  expect("LURCHER_CPU_ISA= " .. program .. " -e 'print(lurcher.device \"cpu\")'", "cpu\n$")
end)

test("output that cannot be written: a message, exit code 1", function()
  local message = "^lurcher: cannot write to standard output[^\n]*\n$"
  local script = write("say.lua", "io.write 'x'")
  for _, arguments in ipairs{ "-e 'print \"x\"'", "-e 'io.write \"x\"'", "-e 'print \"x\" os.exit(0)'",
    "-e 'print \"x\" os.exit(true, true)'", script, "recipes", "devices", "help", "--version", "audit --help" } do
    expect(program .. " " .. arguments .. " > /dev/full", message, 1)
    expect(program .. " " .. arguments .. " >&-", message, 1)
    expect(program .. " " .. arguments .. " > /dev/null", "^$")
  end
  expect("echo 1 + 1 | " .. program .. " > /dev/full", message, 1)
  expect(("{ trap '' PIPE; %s -e 'io.write((\"x\"):rep(1 << 20))'; echo $? >&2; } | true"):format(program),
    "^lurcher: cannot write to standard output[^\n]*\n1\n$")
  expect(program .. " -e 'local x' >&-", "^$")
  -- a file takes no descriptor of a closed stream: nothing that is printed gets into it
  expect(("%s -e 'f = io.open(\"%s/victim\", \"w\") print \"x\" f:close()' >&-"):format(program, folder), message, 1)
  expect(("cat '%s/victim'"):format(folder), "^$")
end)

-- Under AddressSanitizer the address space cannot be limited.
if not os.getenv "LURCHER_TEST_PRELOAD" then
  test("a limited address space: a message of one line, never a signal", function()
    local script = write("memory.lua", [[
      local lurcher = require "lurcher"
      local nn = lurcher.nn
      local x = nn.input("x", 16, 16, 3)
      local y = nn.global_avg_pool{}(nn.batchnorm{}(nn.conv2d{ 16, 3, activation = "relu" }(x)))
      y = nn.dense{ 4, name = "y", activation = "softmax" }(y)
      local run = nn.model(y):compile{ device = "cpu", optimizer = "adam", loss = "categorical_crossentropy" }
      local batch = { x = lurcher.uniform{ 8, 16, 16, 3 }, y = lurcher.tensor{ 0, 1, 2, 3, 0, 1, 2, 3 }:cast "i32" }
      for i = 1, 2 do run:train(batch) end]])
    local function limited(kilobytes, arguments)
      return harness.run(("ulimit -c 0; ulimit -v %d; LURCHER_THREADS=3 OMP_NUM_THREADS=3 %s %s"):format(kilobytes, program,
        arguments))
    end
    local least = 40000 -- below it, the program itself cannot be loaded
    while select(2, limited(least, "-e ''")) ~= 0 do least = least + 1000 end
    local failed, passed = 0, false
    for more = 1000, 400000, 2000 do
      local output, code = limited(least + more, script)
      passed = code == 0
      if passed then break end
      assert(code == 1 and output:find "^lurcher: [^\n]*\n$", ("%d kB: exit code %d: %s"):format(least + more, code, output))
      failed = failed + 1
    end
    assert(passed and failed > 3, failed)
  end)
end

test("library scripts: found without a path, overridden by a file beside the script", function()
  local script = write("fit_is.lua", "print(type(require 'lurcher.fit'), require 'lurcher.samplers' == 7)")
  expect("cd / && " .. program .. " " .. script, "\tfalse\n$")
  harness.run("mkdir '" .. folder .. "/lurcher'")
  write("lurcher/samplers.lua", "return 7")
  expect("cd / && " .. program .. " " .. script, "\ttrue\n$")
  expect(program .. " -e 'require \"lurcher.nothing\"'", "no compiled%-in script 'lurcher/nothing.lua'", 1)
  expect(program .. " -e 'print(require \"lfs\".currentdir())'", "^/")
end)

test("nothing of the current directory runs: not in a recipe, not in a script from elsewhere", function()
  local images = harness.folder "images"
  local names = { "lfs.lua", "lfs.so", "lurcher.lua", "lurcher.so", "options.lua" }
  assert(os.execute(("mkdir -p '%s/lurcher/recipe' '%s/lurcher/report'"):format(images, images)))
  for _, name in ipairs{ "options", "files", "fit", "suggest", "recipe/options", "recipe/common", "report/html", "init" } do
    names[#names + 1] = "lurcher/" .. name .. ".lua"
  end
  for _, name in ipairs(names) do
    local file <close> = assert(io.open(images .. "/" .. name, "w"))
    file:write "io.stderr:write 'RAN' os.exit(66)"
  end
  local elsewhere = write("elsewhere.lua", "require 'lfs' require 'lurcher.options' require 'lurcher.fit' print 'fine'")
  for _, environment in ipairs{ "", "LUA_PATH='./?.lua;?.lua;;' LUA_CPATH='./?.so;?.so;;'", "LUA_INIT='@lurcher/fit.lua'",
    "LUA_PATH_5_4='lurcher/../?.lua;;'" } do
    for _, arguments in ipairs{ "audit --help", "single_model --help", "cache list", "report nothing", elsewhere,
      "-e 'require \"lfs\" require \"lurcher.fit\"'", "-e 'require \"lfs\".chdir \"/\"' audit --help" } do
      local output, code = harness.run(("cd '%s' && %s %s %s"):format(images, environment, program, arguments))
      assert(not output:find "RAN" and code ~= 66, arguments .. ": " .. output)
      if arguments:find "help" then assert(code == 0 and output:find "^usage: lurcher", output) end
    end
  end
  -- LURCHER_PATH is for scripts, not for recipes
  local output, code = harness.run(("cd / && LURCHER_PATH='%s' %s single_model --help"):format(images, program))
  assert(code == 0 and output:find "^usage", output)
  output, code = harness.run(("cd / && LURCHER_PATH='%s' %s -e 'require \"lurcher.fit\"'"):format(images, program))
  assert(code == 66 and output == "RAN", output)
  output, code = harness.run(("cd '%s' && LURCHER_PATH=. %s -e 'require \"lfs\".chdir \"/\" require \"lurcher.fit\"'"):format(
    images, program))
  assert(code == 66 and output == "RAN", output)
  -- a script that changes its directory keeps its own folder, and gets no other
  write("beside.lua", "return 'beside'")
  write("moves.lua", ("local name = ... require 'lfs'.chdir '%s' print(require 'beside', type(require 'lurcher.files'.read))")
    :format(images))
  expect(("cd '%s' && %s moves.lua"):format(folder, program), "^beside\tfunction\n$")
end)

test("--trace says where modules come from", function()
  write("lurcher/ticker.lua", "return {}")
  local output = expect(program .. " --trace " .. write("traces.lua", "require 'lurcher.ticker' require 'lurcher.suggest'"), "^")
  assert(output:find("module 'lurcher.ticker' from " .. folder .. "/lurcher/ticker.lua\n", 1, true), output)
  assert(output:find("module 'lurcher.suggest' from <lurcher/suggest.lua>\n", 1, true), output)
  assert(output:find("module 'lurcher' from the program\n", 1, true), output)
  os.remove(folder .. "/lurcher/ticker.lua")
end)

test("a bug in Lurcher prints a traceback, a user's mistake does not", function()
  write("lurcher/broken.lua", "return function() error('wrong', 2) end")
  expect(program .. " " .. write("calls.lua", "require 'lurcher.broken'()"), "^lurcher: [^\n]*calls.lua:1: wrong\n$", 1)
  expect(program .. " single_model --no-such-option", "^lurcher[^<]*unknown option '%-%-no%-such%-option'[^<]*$", 2)
end)

--- Runs a script that prints "ready", sends it Ctrl-C, once or twice, and returns its output and exit code.
local function interrupted(name, text, twice)
  local script = write(name, text)
  local runner = write("runner.sh", ([[
    set -m
    %s '%s' > '%s/out' 2>&1 &
    for i in $(seq 400); do grep -q ready '%s/out' 2>/dev/null && break; sleep 0.05; done
    sleep 0.2
    kill -INT $!
    %s
    wait $!
    code=$?
    cat '%s/out'
    exit $code]]):format(("cd '%s'; %s"):format(folder, program), script, folder, folder,
    twice and "sleep 0.3; kill -INT $!" or "", folder))
  os.remove(folder .. "/out")
  return harness.run("bash '" .. runner .. "'")
end

test("Ctrl-C ends a script with its <close> done, exit code 130", function()
  local output, code = interrupted("loop.lua", [[
    local guard <close> = setmetatable({}, { __close = function() print "closed" end })
    io.stdout:write("ready\n"):flush()
    while true do end]])
  assert(output:find "^ready\nclosed\nlurcher: interrupted\n$" and code == 130, output .. tostring(code))
end)

test("Ctrl-C lets fit end between steps, its callbacks called; then it ends the script", function()
  local output, code = interrupted("fit.lua", [[
    local lurcher, fit = require "lurcher", require "lurcher.fit"
    local nn = lurcher.nn
    local run = nn.model(nn.dense{ 2, name = "y" }(nn.input("x", 3))):compile{ optimizer = "sgd", loss = "mean_squared_error" }
    local batches = { { x = lurcher.ones(4, 3), y = lurcher.ones(4, 2) } }
    local history = fit(run, batches, { epochs = 1e9, valid = batches, progress = false, {
      on_epoch_end = function(_, epoch) if epoch == 5 then io.stdout:write("ready\n"):flush() end end,
      on_train_end = function() print "end" end } })
    print "the next training begins"]])
  assert(output == "ready\nend\nlurcher: interrupted\n" and code == 130, output .. tostring(code))
end)

test("a script may go on after Ctrl-C in a fit", function()
  local output, code = interrupted("goes_on.lua", [[
    local lurcher, fit = require "lurcher", require "lurcher.fit"
    local nn = lurcher.nn
    local run = nn.model(nn.dense{ 2, name = "y" }(nn.input("x", 3))):compile{ optimizer = "sgd", loss = "mean_squared_error" }
    local batches = { { x = lurcher.ones(4, 3), y = lurcher.ones(4, 2) } }
    local history = fit(run, batches, { epochs = 1e9, progress = false, interrupt = "return", {
      on_epoch_end = function(_, epoch) if epoch == 5 then io.stdout:write("ready\n"):flush() end end } })
    print(history.interrupted, #history > 5)]])
  assert(output == "ready\ntrue\ttrue\n" and code == 0, output .. tostring(code))
end)

test("a second Ctrl-C ends the program, whatever the script does with the first", function()
  local output, code = interrupted("twice.lua", [[
    io.stdout:write("ready\n"):flush()
    while os.clock() < 10 do pcall(function() while os.clock() < 10 do end end) io.stdout:write("caught\n"):flush() end]], true)
  assert(output:find "ready\ncaught\n$" and not output:find "caught.*caught" and code == 130, output .. tostring(code))
end)

test("a second Ctrl-C waits for the file that is being written", function()
  local output, code = interrupted("writes.lua", [[
    local big = ("x"):rep(30 << 20)
    io.stdout:write("ready\n"):flush()
    pcall(function() while true do end end)
    for i = 1, 1e9 do assert(require "lurcher".write_file("big" .. i % 2, big)) end]], true)
  assert(code == 130, output .. tostring(code))
  local lfs = require "lfs"
  assert(lfs.attributes(folder .. "/big1", "size") == 30 << 20)
  for name in lfs.dir(folder) do assert(not name:find "tmp$", name) end
end)

test("the module in a stock lua5.4", function()
  local build = harness.program:match "^(.*)/[^/]*$"
  if harness.run "command -v lua5.4" == "" then return end
  local preload = os.getenv "LURCHER_TEST_PRELOAD" or ""
  expect(("cd / && LD_PRELOAD='%s' LUA_CPATH='%s/?.so;;' lua5.4 -e 'local l = require \"lurcher\"; print(l.tensor{1, 2}:sum(), type(require \"lurcher.fit\"), require \"lfs\" ~= nil)'")
    :format(preload, build), "^3.0\t%a+\ttrue\n$")
  -- the library is the module's own, whatever lies in the current directory
  local images = harness.folder "images"
  assert(os.execute(("mkdir '%s/lurcher' && echo 'os.exit(66)' > '%s/lurcher/fit.lua'"):format(images, images)))
  local command = "cd '%s' && LD_PRELOAD='%s' LUA_CPATH='%s/?.so;;' %s lua5.4 -e 'require \"lurcher\"; print(type(require \"lurcher.fit\"))'"
  expect(command:format(images, preload, build, ""), "^table\n$")
  expect(command:format(images, preload, build, "LURCHER_PATH=."), "^$", 66)
end)
