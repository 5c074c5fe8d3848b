-- A job that waits or trains is Progressing, for days if need be; what its operator says is the message.

-- Whatever a status holds, an answer comes of it: an error here would hide the whole application's health.
local function tabled(value)
  if type(value) == "table" then
    return value
  end
  return {}
end

local status = tabled(obj.status)

local function condition(wanted)
  for _, each in ipairs(tabled(status.conditions)) do
    if tabled(each).type == wanted then
      return each
    end
  end
  return {}
end

local function told(wanted, otherwise)
  local message = condition(wanted).message
  if type(message) ~= "string" or message == "" then
    return otherwise
  end
  return message
end

local function health(status, message)
  return { status = status, message = message }
end

if status.phase == nil then
  return health("Progressing", "The operator has not seen the job yet")
end
local generation = obj.metadata.generation
if generation ~= nil and status.observedGeneration ~= generation then
  return health("Progressing", "The operator has not seen the job's last change yet")
end

local phase = status.phase
if condition("Accepted").status == "False" then
  return health("Degraded", told("Accepted", "The job is refused"))
end
if phase == "Failed" then
  return health("Degraded", told("Failed", "The job failed"))
end
if phase == "Succeeded" then
  return health("Healthy", told("Complete", "The job is complete"))
end
if phase == "Stopped" then
  return health("Suspended", told("Admitted", "The job is stopped"))
end
if phase == "Queued" then
  return health("Progressing", told("Admitted", "The job waits in its queue"))
end
if phase == "Starting" then
  return health("Progressing", told("DatasetReady", "The job's pod starts"))
end
if condition("RecordWritable").status == "False" then
  return health("Progressing", told("RecordWritable", "The job's record cannot be written"))
end
if phase == "Running" then
  return health("Progressing", "The job trains")
end
if phase == "Stopping" then
  return health("Progressing", "The job's pod saves a checkpoint and ends")
end
return health("Progressing", "The job is " .. tostring(phase))
