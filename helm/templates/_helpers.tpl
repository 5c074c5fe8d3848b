{{/* Labels of everything; call with (dict "root" $ "component" "operator"). */}}
{{- define "sihl.labels" -}}
{{- $ours := dict
  "app.kubernetes.io/part-of" "sihl"
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimAll "-_.")
-}}
{{- range $name, $_ := .root.Values.commonLabels | default dict -}}
{{- if or (hasKey $ours $name) (has $name (list "app.kubernetes.io/name" "app.kubernetes.io/instance")) -}}
{{- fail (printf "commonLabels: %s is the chart's own" $name) -}}
{{- end -}}
{{- end -}}
{{ include "sihl.selector" . }}
{{ merge $ours (.root.Values.commonLabels | default dict) | toYaml }}
{{- end }}

{{/* A pod's labels and annotations; call with (dict "names" $names "part" .Values.operator "annotations" dict). */}}
{{- define "sihl.podMetadata" -}}
labels:
  {{- /* Flux gives each commit a chart's version of its own, which shall restart nothing. */}}
  {{- $labels := omit (include "sihl.labels" .names | fromYaml) "helm.sh/chart" }}
  {{- range $name, $_ := .part.podLabels }}
  {{- if and (hasKey $labels $name) (not (hasKey ($.names.root.Values.commonLabels | default dict) $name)) }}
  {{- fail (printf "%s.podLabels: %s is the chart's own" $.at $name) }}
  {{- end }}
  {{- end }}
  {{- mergeOverwrite $labels (.part.podLabels | default dict) | toYaml | nindent 2 }}
{{- with merge (deepCopy (.part.podAnnotations | default dict)) .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where a pod runs, and how early; call as sihl.podMetadata. */}}
{{- define "sihl.podPlace" -}}
{{- with .part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $own := dict "labelSelector" (dict "matchLabels" (include "sihl.selector" $.names | fromYaml)) }}
  - {{- merge (deepCopy .) $own | toYaml | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The pull secrets of all, as a list of {name: ...} in JSON. */}}
{{- define "sihl.pullSecrets" -}}
{{- concat ((.Values.global).imagePullSecrets | default list) (.Values.imagePullSecrets | default list) | uniq | toJson -}}
{{- end }}

{{/* A Service's IP families. */}}
{{- define "sihl.ipFamilies" -}}
{{- with (.Values.service).ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with (.Values.service).ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end }}

{{/* The ports at which names are resolved, of a NetworkPolicy's rule. */}}
{{- define "sihl.dns" -}}
{{- range .Values.networkPolicy.dnsPorts | default (list 53 5353) }}
- {port: {{ . }}, protocol: UDP}
- {port: {{ . }}, protocol: TCP}
{{- end }}
{{- end }}

{{/*
Annotations of that with which jobs would go: kept at an uninstall and when it leaves the chart's
output, under Helm, Argo CD and Flux.
*/}}
{{- define "sihl.kept" -}}
helm.sh/resource-policy: keep
argocd.argoproj.io/sync-options: Prune=false,Delete=false
kustomize.toolkit.fluxcd.io/prune: disabled
{{- end }}

{{/* Labels that select pods. The names are fixed: one cluster has one operator. */}}
{{- define "sihl.selector" -}}
app.kubernetes.io/name: sihl-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* An image's reference; call with (dict "root" $ "image" .Values.operator.image). */}}
{{- define "sihl.image" -}}
{{- $registry := (.root.Values.global).imageRegistry | default "" -}}
{{- $first := splitList "/" .image.repository | first -}}
{{- $named := and (contains "/" .image.repository) (or (regexMatch "[.:]" $first) (eq $first "localhost")) -}}
{{- if and $registry (not $named) }}{{ trimSuffix "/" $registry }}/{{ end -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The restricted Pod Security Standard, for pods and their containers. */}}
{{- define "sihl.podSecurity" -}}
runAsNonRoot: true
{{- /* Values of an earlier chart, reused, do not say it. */}}
{{- with ternary (.Values.securityContext).runAsUser 10001 (hasKey .Values "securityContext") }}
runAsUser: {{ int64 . }}
runAsGroup: {{ int64 . }}
fsGroup: {{ int64 . }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- define "sihl.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* "true" where the chart runs the store itself. */}}
{{- define "sihl.embedded" -}}
{{- if not .Values.store.endpoint }}true{{ end -}}
{{- end }}

{{/* The store's URL. */}}
{{- define "sihl.endpoint" -}}
{{- .Values.store.endpoint | default (printf "http://sihl-store.%s.svc:8333" .Release.Namespace) -}}
{{- end }}

{{/* A namespace's bucket; call with (dict "name" $name "entry" $entry). */}}
{{- define "sihl.bucket" -}}
{{- (.entry.store | default dict).bucket | default .name -}}
{{- end }}

{{/* What is said of the way to a store of yours, by the keys of its Secret; what is empty is not. */}}
{{- define "sihl.way" -}}
{{- $way := dict -}}
{{- if .Values.store.endpoint -}}
{{- range $key := list "region" "addressing" "certificateAuthority" "proxy" -}}
{{- with get $.Values.store $key -}}{{- $_ := set $way $key . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $way -}}
{{- end }}

{{/* The port on which a store of yours is reached, or its proxy. */}}
{{- define "sihl.port" -}}
{{- include "sihl.portOf" (.Values.store.proxy | default .Values.store.endpoint) -}}
{{- end }}

{{/* The port of a URL. */}}
{{- define "sihl.portOf" -}}
{{- $url := urlParse (trimSuffix "/" .) -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary 80 443 (eq $url.scheme "http")) -}}
{{- end }}

{{/* A value as text: helm reads every number as a float, which it writes as 1e+06. */}}
{{- define "sihl.text" -}}
{{- if kindIs "float64" . }}{{ int64 . }}
{{- else if or (kindIs "map" .) (kindIs "slice" .) }}{{ toJson . }}
{{- else }}{{ . }}{{ end -}}
{{- end }}

{{/* The seconds of a duration such as 1m30s. */}}
{{- define "sihl.seconds" -}}
{{- $now := now -}}
{{- sub ($now | mustDateModify . | unixEpoch) ($now | unixEpoch) -}}
{{- end }}

{{/* Fails where two of the operator's settings cannot be beside each other. */}}
{{- define "sihl.checkSettings" -}}
{{- if and .leaseRenewal .leaseDuration -}}
{{- if gt (mul 2 (include "sihl.seconds" .leaseRenewal)) (include "sihl.seconds" .leaseDuration | int64) -}}
{{- fail (printf "operator.settings.leaseRenewal (%s) must be at most half of leaseDuration (%s)" .leaseRenewal .leaseDuration) -}}
{{- end -}}
{{- end -}}
{{- if and .retryBackoff .retryBackoffLimit -}}
{{- if gt (include "sihl.seconds" .retryBackoff | int64) (include "sihl.seconds" .retryBackoffLimit | int64) -}}
{{- fail (printf "operator.settings.retryBackoff (%s) must be at most retryBackoffLimit (%s)" .retryBackoff .retryBackoffLimit) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Fails where jobs of a namespace would never be run, because the operator does not serve it. */}}
{{- define "sihl.checkServed" -}}
{{- $served := compact (splitList "," (nospace (.Values.operator.settings.watchNamespaces | default ""))) -}}
{{- range $name, $_ := .Values.namespaces -}}
{{- if and $served (not (has $name $served)) -}}
{{- fail (printf "namespaces.%s: operator.settings.watchNamespaces (%s) leaves it out, so its jobs would never be run: name it there too" $name (join ", " $served)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The names of a list of {name: ...}, by comma. */}}
{{- define "sihl.names" -}}
{{- $names := list -}}
{{- range . }}{{ $names = append $names .name }}{{ end -}}
{{- join "," $names -}}
{{- end }}

{{/*
The buckets that the dashboard reads, by namespace, as JSON. A Secret that others make says itself
where its bucket is, and the chart does not read it: such a namespace is seen if the values say so.
*/}}
{{- define "sihl.seen" -}}
{{- $seen := dict -}}
{{- range $name, $entry := .Values.namespaces -}}
{{- $store := $entry.store | default dict -}}
{{- if or $store.bucket (not $store.existingSecret) -}}
{{- $_ := set $seen $name (include "sihl.bucket" (dict "name" $name "entry" $entry)) -}}
{{- end -}}
{{- end -}}
{{- toJson $seen -}}
{{- end }}

{{/*
What is said to the embedded store's keeper (sihl_operator.identities.Wanted), as JSON: who writes
which bucket, and what the dashboard reads. No key is among it.
*/}}
{{- define "sihl.wanted" -}}
{{- $buckets := dict -}}
{{- range $name, $entry := .Values.namespaces -}}
{{- if not ($entry.store | default dict).existingSecret -}}
{{- $_ := set $buckets $name (include "sihl.bucket" (dict "name" $name "entry" $entry)) -}}
{{- end -}}
{{- end -}}
{{- $wanted := dict "buckets" $buckets -}}
{{- if and .Values.dashboard.enabled (not .Values.dashboard.store.existingSecret) -}}
{{- $_ := set $wanted "seen" (include "sihl.places" . | fromJson) -}}
{{- end -}}
{{- toJson $wanted -}}
{{- end }}

{{/* Where the records lie that the dashboard reads, by namespace, as JSON. */}}
{{- define "sihl.places" -}}
{{- $places := dict -}}
{{- range $name, $bucket := include "sihl.seen" . | fromJson -}}
{{- $prefix := ((get $.Values.namespaces $name).store | default dict).prefix | default "" -}}
{{- $place := dict "endpoint" (include "sihl.endpoint" $) "bucket" $bucket "prefix" $prefix -}}
{{- $_ := set $places $name (merge $place (include "sihl.way" $ | fromJson)) -}}
{{- end -}}
{{- toJson $places -}}
{{- end }}

{{/*
Keys of the values for an identity of the embedded store, as JSON, or nothing: call with (dict
"store" $store "at" "namespaces.vision.store").
*/}}
{{- define "sihl.given" -}}
{{- if ne (empty .store.accessKeyId) (empty .store.secretAccessKey) -}}
{{- fail (printf "%s: give accessKeyId and secretAccessKey, or neither, and keys are made in the cluster" .at) -}}
{{- end -}}
{{- if .store.accessKeyId -}}
{{- toJson (list (dict "accessKey" .store.accessKeyId "secretKey" .store.secretAccessKey)) -}}
{{- end -}}
{{- end }}

{{/*
As whom a store of yours is asked, by the keys of its Secret, as JSON: with keys, or by a service
account. Call with (dict "root" $ "store" $store "at" "namespaces.vision.store" "else" "or what else").
*/}}
{{- define "sihl.asked" -}}
{{- $said := dict -}}
{{- if .store.serviceAccount -}}
{{- $_ := set $said "serviceAccount" "true" -}}
{{- with .store.roleArn }}{{ $_ := set $said "roleArn" . }}{{ end -}}
{{- with .root.Values.store.stsEndpoint }}{{ $_ := set $said "stsEndpoint" . }}{{ end -}}
{{- else -}}
{{- range $key := list "accessKeyId" "secretAccessKey" -}}
{{- $missing := printf "%s.%s is missing: store.endpoint names a store of yours, so give its keys (or %s.serviceAccount: true, %s)" $.at $key $.at $.else -}}
{{- $_ := set $said $key (required $missing (get $.store $key)) -}}
{{- end -}}
{{- end -}}
{{- toJson $said -}}
{{- end }}

{{/* Fails where what is said of an identity cannot be beside each other; call as sihl.asked. */}}
{{- define "sihl.checkIdentity" -}}
{{- if .store.serviceAccount -}}
{{- if or .store.accessKeyId .store.secretAccessKey -}}
{{- fail (printf "%s: give accessKeyId and secretAccessKey, or serviceAccount: true, and not both" .at) -}}
{{- else if .store.existingSecret -}}
{{- fail (printf "%s: give existingSecret or serviceAccount, and not both: a Secret that others make says serviceAccount itself" .at) -}}
{{- else if include "sihl.embedded" .root -}}
{{- fail (printf "%s.serviceAccount: the embedded store knows keys alone, which are made in the cluster: leave it out, or name a store of yours in store.endpoint" .at) -}}
{{- end -}}
{{- else if .store.roleArn -}}
{{- fail (printf "%s.roleArn belongs to serviceAccount: true" .at) -}}
{{- end -}}
{{- end }}

{{/*
For whom the tokens of a service account are made out by this cluster; nothing where a webhook of the
cloud gives them. Call with (dict "root" $ "store" $store).
*/}}
{{- define "sihl.audience" -}}
{{- if .store.serviceAccount -}}
{{- .root.Values.store.audience | default (ternary "sts.amazonaws.com" "" (not (empty .store.roleArn))) -}}
{{- end -}}
{{- end }}

{{/* What the operator is told of the namespaces' service accounts, by its settings' names, as JSON. */}}
{{- define "sihl.accounts" -}}
{{- $accounts := dict -}}
{{- $audiences := dict -}}
{{- range $name, $entry := .Values.namespaces -}}
{{- with ($entry.serviceAccount).name }}{{ $_ := set $accounts $name . }}{{ end -}}
{{- with include "sihl.audience" (dict "root" $ "store" ($entry.store | default dict)) -}}
{{- $_ := set $audiences $name . -}}
{{- end -}}
{{- end -}}
{{- toJson (dict "SERVICE_ACCOUNTS" $accounts "STORE_TOKEN_AUDIENCES" $audiences) -}}
{{- end }}

{{/* Labels and annotations of a ServiceAccount: call with (dict "names" $names "account" $account "at" "...") */}}
{{- define "sihl.accountMetadata" -}}
labels:
  {{- $labels := include "sihl.labels" .names | fromYaml }}
  {{- range $name, $_ := .account.labels }}
  {{- if and (hasKey $labels $name) (not (hasKey ($.names.root.Values.commonLabels | default dict) $name)) }}
  {{- fail (printf "%s.labels: %s is the chart's own" $.at $name) }}
  {{- end }}
  {{- end }}
  {{- mergeOverwrite $labels (.account.labels | default dict) | toYaml | nindent 2 }}
{{- with .account.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Egress to the agents of the nodes that have keys for service accounts, as rules of a NetworkPolicy. */}}
{{- define "sihl.identityAgents" -}}
{{- $agents := .Values.networkPolicy.identityAgents -}}
{{- /* Values of an earlier chart, reused, do not say it. */}}
{{- if not (hasKey .Values.networkPolicy "identityAgents") }}{{ $agents = list "169.254.170.23/32" "fd00:ec2::23/128" }}{{ end -}}
{{- with $agents }}
- ports: [{port: 80, protocol: TCP}]
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
{{- end }}
{{- end }}

{{/* The ports of a store of yours, or its proxy, and of who lends keys for it; a number a line. */}}
{{- define "sihl.storePorts" -}}
{{- if .Values.store.endpoint }}
- {{ include "sihl.port" . }}
{{- if and .Values.store.stsEndpoint (not .Values.store.proxy) }}
- {{ include "sihl.portOf" .Values.store.stsEndpoint }}
{{- end }}
{{- end }}
{{- end }}

{{/* "true" where an authenticating proxy says who the dashboard's users are. */}}
{{- define "sihl.proxied" -}}
{{- if .Values.dashboard.proxy.from -}}
{{- if not .Values.networkPolicy.enabled -}}
{{- fail "dashboard.proxy.from needs networkPolicy.enabled: else every pod could say by a header that it is anyone" -}}
{{- end -}}
true
{{- end -}}
{{- end }}
