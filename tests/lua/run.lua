--- Runs a test file: `lurcher tests/lua/run.lua tensor` runs tests/lua/tensor.lua with lurcher.strict.
local folder = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = folder .. "/?.lua;" .. package.path
require "lurcher.strict"
local harness = require "harness"
local name = assert(arg[1], "name of a test file expected"):gsub("%.lua$", ""):gsub("^.*/", "")
local chunk = assert(loadfile(folder .. "/" .. name .. ".lua"))
local good, message = xpcall(chunk, debug.traceback)
if not good then harness.test(name .. " (outside of tests)", function() error(message, 0) end) end
harness.finish()
