{{- define "toolgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "toolgate.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "toolgate.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "toolgate.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* What never changes: selectors are immutable. */ -}}
{{- define "toolgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "toolgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "toolgate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "toolgate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "toolgate.gateLabels" -}}
{{ include "toolgate.selectorLabels" . }}
app.kubernetes.io/component: gate
{{- end }}

{{- define "toolgate.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "toolgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "toolgate.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- /* "true" where the example server stands in for one of the user's. */ -}}
{{- define "toolgate.isExample" -}}
{{- if .Values.exampleServer.enabled }}
{{- if and (eq .Values.mode "shared") (not .Values.servers) }}true{{ end }}
{{- if and (eq .Values.mode "sidecar") (not .Values.sidecar.image) }}true{{ end }}
{{- end }}
{{- end }}

{{- define "toolgate.hasRedis" -}}
{{- if or .Values.redis.url .Values.redis.existingSecret .Values.redis.bundled.enabled }}true{{ end }}
{{- end }}

{{- define "toolgate.grantsSecret" -}}
{{- if .Values.grants.existingSecret }}
{{- .Values.grants.existingSecret }}
{{- else if .Values.grants.entries }}
{{- printf "%s-grants" (include "toolgate.fullname" .) }}
{{- end }}
{{- end }}

{{- define "toolgate.approversSecret" -}}
{{- with .Values.console }}
{{- if and .enabled .approvers.existingSecret }}
{{- .approvers.existingSecret }}
{{- else if and .enabled .approvers.entries }}
{{- printf "%s-approvers" (include "toolgate.fullname" $) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* "true" where the console is more than loopback's. */ -}}
{{- define "toolgate.hasConsoleService" -}}
{{- if and .Values.console.enabled .Values.console.service.enabled }}true{{ end }}
{{- end }}

{{- /* The most gates that may run at once. */ -}}
{{- define "toolgate.mostReplicas" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.maxReplicas }}{{ else }}{{ .Values.replicas }}{{ end }}
{{- end }}

{{- /* The servers as `toolgate.yaml` takes them. */ -}}
{{- define "toolgate.servers" -}}
{{- $servers := .Values.servers }}
{{- if and (not $servers) (eq (include "toolgate.isExample" .) "true") }}
{{- $servers = dict "example" dict }}
{{- end }}
{{- $out := dict }}
{{- range $name, $server := $servers }}
{{- $server = deepCopy $server }}
{{- if eq $.Values.mode "shared" }}
{{- if not (or $server.upstream $server.command) }}
{{- if $.Values.servers }}
{{- fail (printf "servers.%s: no upstream: add `upstream: http://HOST:PORT/mcp`" $name) }}
{{- end }}
{{- $_ := set $server "upstream" (printf "http://%s-example:3000/mcp" (include "toolgate.fullname" $)) }}
{{- end }}
{{- else if eq $.Values.mode "sidecar" }}
{{- $_ := set $server "upstream" (printf "http://127.0.0.1:%v%s" $.Values.sidecar.port $.Values.sidecar.path) }}
{{- end }}
{{- $_ := set $out $name $server }}
{{- end }}
{{- tpl (toYaml $out) . }}
{{- end }}

{{- /* The policies: by name, the text of the document. */ -}}
{{- define "toolgate.policies" -}}
{{- $policies := .Values.policies }}
{{- if and (not $policies) (eq (include "toolgate.isExample" .) "true") }}
{{- $limit := dict "counter" "start_run_rate" "window" "minute" "max" 10 "scope" "grant" }}
{{- $tools := dict "start_run" (dict "limits" (list $limit)) "list_runs" dict }}
{{- $policies = dict "start-run" (dict "version" "1" "default" "deny" "tools" $tools) }}
{{- end }}
{{- $out := dict }}
{{- range $name, $policy := $policies }}
{{- if kindIs "string" $policy }}
{{- $_ := set $out (printf "%s.yaml" $name) $policy }}
{{- else }}
{{- $_ := set $out (printf "%s.json" $name) (printf "%s\n" (mustToPrettyJson $policy)) }}
{{- end }}
{{- end }}
{{- toYaml $out }}
{{- end }}

{{- /* Where decisions are recorded, as `toolgate.yaml` takes it. */ -}}
{{- define "toolgate.audit" -}}
{{- with .Values.audit }}
stdout: {{ .stdout }}
overflow: {{ .overflow }}
on_error: {{ .onError }}
{{- if .file.enabled }}
file: {{ .file.path | quote }}
rotate_bytes: {{ int64 .file.rotateBytes }}
keep: {{ int .file.keep }}
{{- end }}
{{- if .redisStream.name }}
redis_stream: {{ .redisStream.name | quote }}
redis_lines: {{ int64 .redisStream.lines }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Where people decide, as `toolgate.yaml` takes it. */ -}}
{{- define "toolgate.console" -}}
{{- $name := printf "%s-console" (include "toolgate.fullname" .) }}
{{- with .Values.console }}
console: {{ printf "%s:%v" (ternary "0.0.0.0" "127.0.0.1" .service.enabled) .port | quote }}
{{- with .url }}
console_url: {{ . | quote }}
{{- end }}
{{- if .service.enabled }}
console_hosts:
  - {{ $name }}
  - {{ $name }}.{{ $.Release.Namespace }}
  - {{ $name }}.{{ $.Release.Namespace }}.svc
  - {{ $name }}.{{ $.Release.Namespace }}.svc.cluster.local
{{- end }}
approvals: { approvers: approvers.yaml }
{{- end }}
{{- end }}

{{- /* toolgate.yaml. */ -}}
{{- define "toolgate.settings" -}}
{{- $settings := dict "listen" "0.0.0.0:8080" "drain_ms" (int .Values.drainMs) }}
{{- if include "toolgate.hasRedis" . }}
{{- $counters := dict "store" "redis" "prefix" .Values.redis.prefix "deadline_ms" (int .Values.redis.deadlineMs) }}
{{- $_ := set $counters "expected_replicas" (int (include "toolgate.mostReplicas" .)) }}
{{- $_ := set $settings "counters" $counters }}
{{- end }}
{{- $_ := set $settings "servers" (include "toolgate.servers" . | fromYaml) }}
{{- $paths := dict }}
{{- range $file, $_ := include "toolgate.policies" . | fromYaml }}
{{- $_ := set $paths (regexReplaceAll "\\.(json|yaml)$" $file "") (printf "policies/%s" $file) }}
{{- end }}
{{- $_ := set $settings "policies" $paths }}
{{- if include "toolgate.grantsSecret" . }}
{{- $_ := set $settings "grants" "grants.yaml" }}
{{- end }}
{{- $_ := set $settings "audit" (include "toolgate.audit" . | fromYaml) }}
{{- if .Values.console.enabled }}
{{- $settings = mergeOverwrite $settings (include "toolgate.console" . | fromYaml) }}
{{- end }}
{{- toYaml (mergeOverwrite $settings (deepCopy .Values.settings)) }}
{{- end }}

{{- /* Values that would render something that cannot hold what it promises. */ -}}
{{- define "toolgate.validate" -}}
{{- if and (gt (int (include "toolgate.mostReplicas" .)) 1) (not (include "toolgate.hasRedis" .)) }}
{{- fail "more than one gate without a shared store: each would count for itself; set redis.url, redis.existingSecret or redis.bundled.enabled" }}
{{- end }}
{{- if and (eq .Values.mode "sidecar") (gt (len .Values.servers) 1) }}
{{- fail "mode sidecar has one server, the container beside the gate: name one under servers, or use mode shared" }}
{{- end }}
{{- if and (eq .Values.mode "sidecar") (not .Values.sidecar.image) (not .Values.exampleServer.enabled) }}
{{- fail "mode sidecar without a server: set sidecar.image, or exampleServer.enabled" }}
{{- end }}
{{- if not (include "toolgate.policies" . | fromYaml) }}
{{- fail "no policy: add one under policies" }}
{{- end }}
{{- if not (include "toolgate.servers" . | fromYaml) }}
{{- fail "no server: add one under servers, or set exampleServer.enabled" }}
{{- end }}
{{- if and .Values.grants.existingSecret .Values.grants.entries }}
{{- fail "grants.existingSecret and grants.entries: set one of them" }}
{{- end }}
{{- if gt (len (compact (list .Values.redis.url .Values.redis.existingSecret (ternary "bundled" "" .Values.redis.bundled.enabled)))) 1 }}
{{- fail "redis.url, redis.existingSecret and redis.bundled.enabled: set one of them" }}
{{- end }}
{{- if not (or .Values.audit.stdout .Values.audit.file.enabled .Values.audit.redisStream.name) }}
{{- fail "audit: decisions go nowhere: set audit.stdout, audit.file.enabled or audit.redisStream.name" }}
{{- end }}
{{- if and .Values.audit.redisStream.name (not (include "toolgate.hasRedis" .)) }}
{{- fail "audit.redisStream is kept in the Redis of the counters: set redis.url, redis.existingSecret or redis.bundled.enabled" }}
{{- end }}
{{- if and .Values.audit.file.enabled (hasKey .Values.audit.file.volume "persistentVolumeClaim") }}
{{- fail "audit.file.volume: two gates would write to one claim, at each rollout if not always: use `ephemeral: { volumeClaimTemplate: … }`" }}
{{- end }}
{{- include "toolgate.validateConsole" . }}
{{- $pre := ternary .Values.preStopSeconds .Values.sidecar.preStopSeconds (ne .Values.mode "sidecar") }}
{{- if le (mul (int .Values.terminationGracePeriodSeconds) 1000) (add (mul (int $pre) 1000) (int .Values.drainMs)) }}
{{- fail "terminationGracePeriodSeconds must be longer than preStopSeconds and drainMs together, else calls are cut" }}
{{- end }}
{{- end }}

{{- define "toolgate.validateConsole" -}}
{{- $own := dig "approvals" dict .Values.settings }}
{{- with .Values.console }}
{{- if and (or .service.enabled .ingress.enabled) (not .enabled) }}
{{- fail "console.service and console.ingress lead to the console: set console.enabled" }}
{{- end }}
{{- if and .approvers.existingSecret .approvers.entries }}
{{- fail "console.approvers.existingSecret and console.approvers.entries: set one of them" }}
{{- end }}
{{- if and .enabled (not (or .approvers.existingSecret .approvers.entries $own.approvers)) }}
{{- fail "a console without approvers: nobody could sign in; set console.approvers.existingSecret or console.approvers.entries" }}
{{- end }}
{{- if and .enabled (include "toolgate.hasRedis" $) (not (or $.Values.approvals.key.existingSecret $own.key)) }}
{{- fail "a console without a key: whoever writes to Redis could forge what people decide; set approvals.key.existingSecret" }}
{{- end }}
{{- if and .enabled (has (int .port) (list 8080 (int $.Values.admin.port))) }}
{{- fail "console.port is that of the proxy or of admin: choose another" }}
{{- end }}
{{- if and .ingress.enabled (not .service.enabled) }}
{{- fail "console.ingress leads to the console's Service: set console.service.enabled" }}
{{- end }}
{{- if and .ingress.enabled (not .url) }}
{{- fail "console.ingress has the host of console.url: set it" }}
{{- end }}
{{- if and .service.enabled $.Values.networkPolicy.enabled (not .from) }}
{{- fail "the network policy lets nobody to the console's Service: name who may reach it in console.from, such as the Ingress controller's namespace" }}
{{- end }}
{{- end }}
{{- end }}
