{{- /*
The gate's container and volumes. Other charts take them too: with this chart as a dependency in mode `include`,

  initContainers:
    {{- include "toolgate.sidecar" .Subcharts.toolgate | nindent 4 }}
  volumes:
    {{- include "toolgate.volumes" .Subcharts.toolgate | nindent 4 }}
*/ -}}

{{- define "toolgate.container" -}}
name: toolgate
image: {{ include "toolgate.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve, --config, /etc/toolgate/toolgate.yaml]
env:
  - name: POD_IP
    valueFrom: { fieldRef: { fieldPath: status.podIP } }
  - name: TOOLGATE__ADMIN
    value: {{ printf "%s:%v" .Values.admin.address .Values.admin.port | quote }}
  {{- if .Values.redis.existingSecret }}
  - name: TOOLGATE__COUNTERS__URL
    valueFrom: { secretKeyRef: { name: {{ .Values.redis.existingSecret | quote }}, key: url } }
  {{- else if .Values.redis.url }}
  - name: TOOLGATE__COUNTERS__URL
    value: {{ .Values.redis.url | quote }}
  {{- else if .Values.redis.bundled.enabled }}
  - name: TOOLGATE__COUNTERS__URL
    value: {{ printf "redis://%s-redis:6379" (include "toolgate.fullname" .) | quote }}
  {{- end }}
  {{- if .Values.sessionKey.existingSecret }}
  - name: SESSION_KEY
    valueFrom: { secretKeyRef: { name: {{ .Values.sessionKey.existingSecret | quote }}, key: key } }
  - name: TOOLGATE__SESSION_KEY__ENV
    value: SESSION_KEY
  {{- end }}
  {{- if .Values.approvals.key.existingSecret }}
  - name: APPROVALS_KEY
    valueFrom: { secretKeyRef: { name: {{ .Values.approvals.key.existingSecret | quote }}, key: key } }
  - name: TOOLGATE__APPROVALS__KEY__ENV
    value: APPROVALS_KEY
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - { name: mcp, containerPort: 8080, protocol: TCP }
  - { name: admin, containerPort: {{ .Values.admin.port }}, protocol: TCP }
  {{- if include "toolgate.hasConsoleService" . }}
  - { name: console, containerPort: {{ .Values.console.port }}, protocol: TCP }
  {{- end }}
# A slow start is no reason to kill; afterwards only a process that no longer answers is.
startupProbe:
  httpGet: { path: /livez, port: admin }
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /livez, port: admin }
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: { path: /readyz, port: admin }
  periodSeconds: 2
  timeoutSeconds: 2
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - { name: toolgate, mountPath: /etc/toolgate, readOnly: true }
  {{- if .Values.audit.file.enabled }}
  - { name: toolgate-audit, mountPath: {{ dir .Values.audit.file.path | quote }} }
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* The same as a native sidecar: it starts before the other containers and stops after them. */ -}}
{{- define "toolgate.sidecar" -}}
- restartPolicy: Always
  {{- include "toolgate.container" . | nindent 2 }}
{{- end }}

{{- /* One volume, so that the kubelet swaps settings, policies, grants and approvers in one step. */ -}}
{{- define "toolgate.volumes" -}}
- name: toolgate
  projected:
    sources:
      - configMap:
          name: {{ include "toolgate.fullname" . }}-settings
      - configMap:
          name: {{ include "toolgate.fullname" . }}-policies
          items:
            {{- range $file, $_ := include "toolgate.policies" . | fromYaml }}
            - { key: {{ $file | quote }}, path: {{ printf "policies/%s" $file | quote }} }
            {{- end }}
            {{- range $server, $_ := .Values.pins }}
            - { key: {{ printf "pins.%s.json" $server | quote }}, path: {{ printf "pins/%s.json" $server | quote }} }
            {{- end }}
      {{- with include "toolgate.grantsSecret" . }}
      - secret:
          name: {{ . | quote }}
          items: [ { key: grants.yaml, path: grants.yaml } ]
      {{- end }}
      {{- with include "toolgate.approversSecret" . }}
      - secret:
          name: {{ . | quote }}
          items: [ { key: approvers.yaml, path: approvers.yaml } ]
      {{- end }}
{{- if .Values.audit.file.enabled }}
- name: toolgate-audit
  {{- toYaml (.Values.audit.file.volume | default (dict "emptyDir" (dict "sizeLimit" "2Gi"))) | nindent 2 }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* What both kinds of pod share. */ -}}
{{- define "toolgate.pod" -}}
serviceAccountName: {{ include "toolgate.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if .Values.topologySpreadConstraints }}
  {{- toYaml .Values.topologySpreadConstraints | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "toolgate.gateLabels" . | nindent 8 }}
{{- end }}
{{- end }}

{{- define "toolgate.podMetadata" -}}
annotations:
  # Policies and grants are read again by themselves; what else is set takes a restart.
  checksum/settings: {{ include "toolgate.settings" . | sha256sum }}
  {{- with .Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
labels:
  {{- include "toolgate.gateLabels" . | nindent 2 }}
  {{- with .Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
