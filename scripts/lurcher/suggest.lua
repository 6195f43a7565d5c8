--- lurcher.suggest: "did you mean" at the end of an error message.

local lurcher = require "lurcher"

local suggest = {}

--- " (did you mean 'batch'?)" to end a message with, or "" if no candidate is near (lurcher.nearest). mark: put before
-- the word ("--").
function suggest.hint(word, candidates, mark)
  local near = lurcher.nearest(word, candidates)
  return near and (" (did you mean '%s%s'?)"):format(mark or "", near) or ""
end

return suggest
