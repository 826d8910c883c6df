package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/kinora/kinora"
)

// auditPhrases tell what was done, as it goes on behind the name of who did it. A phrase has pieces, with a bar between them. A word
// in braces stands for what the entry's detail has under that name; where it has nothing, the piece is left out.
var auditPhrases = map[kinora.AuditAction]string{
	kinora.AuditOrganisationCreate: "created the organisation| {name}",
	kinora.AuditOrganisationUpdate: "changed the organisation|: {changed}",

	kinora.AuditKeyCreate: "created the API key| {name}",
	kinora.AuditKeyImport: "imported the API key| {name}",
	kinora.AuditKeyRevoke: "revoked an API key| {name}",
	kinora.AuditKeyRotate: "rotated the API key| {name}",

	kinora.AuditSecretRotate: "made a new webhook secret|, with the old one valid beside it for {overlap}",
	kinora.AuditSecretImport: "imported a webhook secret|, with the old one valid beside it for {overlap}",

	kinora.AuditEndpointCreate:  "created the endpoint| {name}| for {url}",
	kinora.AuditEndpointUpdate:  "changed an endpoint|: {changed}",
	kinora.AuditEndpointEnable:  "enabled the endpoint| {name}",
	kinora.AuditEndpointDisable: "disabled the endpoint| {name}|: {reason}",
	kinora.AuditEndpointDelete:  "deleted the endpoint| {name}| for {url}",
	kinora.AuditEndpointTest:    "sent a test webhook| to {url}",

	kinora.AuditDeliveryRedeliver: "sent a delivery again| of {generation}",
	kinora.AuditReplayStart:       "started a replay| to {url}",
	kinora.AuditReplayCancel:      "cancelled a replay",

	kinora.AuditAttemptLook:   "had an attempt looked at",
	kinora.AuditAttemptSettle: "named the job of an attempt of unknown outcome",
	kinora.AuditAttemptYield:  "took back a job that had been named for an attempt, because the upstream named it for another one",
	kinora.AuditAttemptGiveUp: "gave an attempt up|: {reason}",

	kinora.AuditGenerationCreate:     "asked for a generation| of {model}",
	kinora.AuditGenerationRegenerate: "had a generation made anew| from {parent}| by {model}",
	kinora.AuditGenerationCancel:     "cancelled a generation| of {model}",
	kinora.AuditReviewApprove:        "approved a review",
	kinora.AuditReviewReject:         "rejected a review|: {reason}",
	kinora.AuditAssetCreate:          "added an asset| from {url}",
	kinora.AuditAssetDelete:          "deleted an asset",
	kinora.AuditUploadCreate:         "uploaded a file| of type {type}",

	kinora.AuditMasterKeyRotate: "changed the master key",
	kinora.AuditMasterKeyForget: "forgot an old master key",

	kinora.AuditPersonSetUp:     "set up this server| as {email}",
	kinora.AuditPersonCreate:    "made an account| for {email}",
	kinora.AuditPersonAccept:    "took up a link| as {email}",
	kinora.AuditPersonRename:    "changed their name| to {name}",
	kinora.AuditPersonPassword:  "changed their password",
	kinora.AuditPersonReset:     "made a link for a new password| of {email}",
	kinora.AuditPersonOperator:  "changed whether somebody is an operator|: {email}",
	kinora.AuditPersonDisable:   "disabled an account|: {email}",
	kinora.AuditPersonEnable:    "enabled an account|: {email}",
	kinora.AuditMemberAdd:       "invited| {email}| as {role}",
	kinora.AuditMemberRole:      "changed the role| of {email}| to {role}",
	kinora.AuditMemberRemove:    "removed| {email}| from the members",
	kinora.AuditMemberAccept:    "accepted the invitation| as {role}",
	kinora.AuditMemberDecline:   "declined the invitation| as {role}",
	kinora.AuditMemberLeave:     "left the organisation",
	kinora.AuditSessionBegin:    "signed in",
	kinora.AuditSessionRefuse:   "refused a sign-in| of {email}",
	kinora.AuditSessionEnd:      "ended a session|: {reason}",
	kinora.AuditSessionEndOther: "ended all other sessions",
}

// auditDetail reads the detail of an entry; nil where it is not an object.
func auditDetail(raw json.RawMessage) map[string]any {
	var detail map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&detail) != nil {
		return nil
	}
	return detail
}

// auditWords tell what was done. An action without a phrase is told by its own name.
func auditWords(action kinora.AuditAction, detail map[string]any) string {
	phrase, ok := auditPhrases[action]
	if !ok {
		return "did " + string(action)
	}
	var b strings.Builder
	for piece := range strings.SplitSeq(phrase, "|") {
		before, rest, named := strings.Cut(piece, "{")
		if !named {
			b.WriteString(piece)
			continue
		}
		name, after, _ := strings.Cut(rest, "}")
		if value := auditValue(name, detail); value != "" {
			b.WriteString(before + value + after)
		}
	}
	return b.String()
}

// auditValue is what a detail has under a name, in words; "" = nothing.
func auditValue(name string, detail map[string]any) string {
	if name == "changed" {
		return strings.Join(changedNames(detail), ", ")
	}
	switch value := detail[name].(type) {
	case nil:
		return ""
	case string:
		if name == "name" && value != "" {
			return "“" + value + "”"
		}
		return value
	default:
		return fmt.Sprint(value)
	}
}

const oldPrefix = "old_"

// changedNames are the fields that a detail has old and new values of.
func changedNames(detail map[string]any) (names []string) {
	for name := range detail {
		field := strings.TrimPrefix(name, oldPrefix)
		if !slices.Contains(names, field) {
			names = append(names, field)
		}
	}
	slices.Sort(names)
	return names
}

// auditChanges tell what became what.
func auditChanges(detail map[string]any) (lines []string) {
	for _, name := range changedNames(detail) {
		if old, ok := detail[oldPrefix+name]; ok {
			lines = append(lines, name+": "+compact(old)+" → "+compact(detail[name]))
		}
	}
	return lines
}

// compact writes a value in one line.
func compact(value any) string {
	switch value := value.(type) {
	case nil:
		return "none"
	case string:
		if value == "" {
			return "none"
		}
		return value
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(value) != nil {
		return fmt.Sprint(value)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// auditText writes an entry's detail for people, over several lines and with "&" as it is.
func auditText(raw json.RawMessage) string {
	detail := auditDetail(raw)
	if detail == nil {
		return indented(raw)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if e.Encode(detail) != nil {
		return indented(raw)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// indented writes JSON over several lines; what is none stays as it is, and nothing stays empty.
func indented(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}
