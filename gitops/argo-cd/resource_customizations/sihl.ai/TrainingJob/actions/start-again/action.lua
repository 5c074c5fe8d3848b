-- A new job of the same spec. Git does not have it, so it belongs to no application; and it outlives
-- the job that it is made from, so it belongs to no owner.

-- Here an empty table becomes an empty list, whatever it was. What is empty is left out, and the API
-- server fills in its default; but a selector that is empty selects all, and one that is missing none.
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
    elseif type(key) == "number" or key == "labelSelector" or key == "namespaceSelector" then
      error("the spec has an empty " .. tostring(key) .. ", which is not copied here: use kubectl sihl clone", 0)
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
