-- To the priority that is given, or by one.
local most = 1000000
local now = obj.spec.priority or 0
local given = (actionParams or {})["priority"]
local wanted = now + 1
if given ~= nil and given ~= "" then
  wanted = tonumber(given)
end
if wanted == nil or wanted % 1 ~= 0 or wanted <= now or wanted > most then
  error("give a whole number above " .. now .. " and up to " .. most .. " as the priority", 0)
end
obj.spec.priority = wanted
return obj
