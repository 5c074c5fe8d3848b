-- A new job of the same spec. Git does not have it, so it belongs to no application; and it outlives
-- the job that it is made from, so it belongs to no owner.

-- Here an empty table becomes an empty list, whatever it was. What is empty is left out, and the API
-- server fills in its default. But a selector that is empty selects all, and one that is missing none:
-- it is written as what selects all, too.
local selectors = { ["labelSelector"] = true, ["namespaceSelector"] = true }

local function all()
  return { ["matchExpressions"] = { { ["key"] = "sihl.ai/selects-all", ["operator"] = "DoesNotExist" } } }
end

local function copy(value)
  if type(value) ~= "table" then
    return value
  end
  local new = nil
  for key, each in pairs(value) do
    local copied = copy(each)
    if copied ~= nil then
      new = new or {}
      new[key] = copied
    elseif selectors[key] then
      new = new or {}
      new[key] = all()
    elseif type(key) == "number" then
      error(
        "the spec has an empty entry in a list (number " .. key .. "), which cannot be told from an empty list "
          .. "here: start it again by kubectl sihl clone " .. obj.metadata.name,
        0
      )
    end
  end
  return new
end

local job = {
  ["apiVersion"] = obj.apiVersion,
  ["kind"] = obj.kind,
  ["metadata"] = {
    ["generateName"] = obj.metadata.name .. "-",
    ["namespace"] = obj.metadata.namespace,
  },
  ["spec"] = copy(obj.spec),
}
job.spec.suspend = false
local queue = (obj.metadata.annotations or {})["sihl.ai/queue"]
if queue ~= nil then
  job.metadata.annotations = { ["sihl.ai/queue"] = queue }
end

return { { ["operation"] = "create", ["resource"] = job } }
