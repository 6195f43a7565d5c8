--- lurcher.suggest: "did you mean": the known word nearest to one that is not known, for error messages.

local suggest = {}

--- Edit distance of two short words (insert, delete, replace, swap of neighbours: each costs 1).
local function distance(a, b)
  local before, last = nil, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost)
      if before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
    before, last = last, row
  end
  return last[#b]
end

--- The word of `candidates` nearest to `word`, or nil where none is near.
function suggest.nearest(word, candidates)
  local best, best_distance = nil, math.min(3, (#word + 1) // 2 + 1)
  for _, candidate in ipairs(candidates) do
    local d = distance(word, candidate)
    if d < best_distance then best, best_distance = candidate, d end
  end
  return best
end

--- " (did you mean 'batch'?)" to end a message with, or "" where no candidate is near. mark: put before the word
-- ("--").
function suggest.hint(word, candidates, mark)
  local near = suggest.nearest(word, candidates)
  return near and (" (did you mean '%s%s'?)"):format(mark or "", near) or ""
end

return suggest
