package vidu

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// problem is Vidu's error answer. Invalid input, moderation, an empty balance and "try
// again" all come with status 400: only the reason tells them apart.
type problem struct {
	Reason   lenient.Word `json:"reason"`
	Message  lenient.Word `json:"message"`
	Metadata struct {
		TraceID lenient.Word `json:"trace_id"`
	} `json:"metadata"`
}

const userCancelled = "UserCancelled"

// byReason are the documented words, of error answers and of a failed task's err_code.
var byReason = map[string]provider.Class{
	"BadRequest": provider.Invalid, "FieldLacking": provider.Invalid, "FieldUnwanted": provider.Invalid,
	"FieldInvalid": provider.Invalid, "FieldItemCountOutOfRange": provider.Invalid, "PageSizeOutOfRange": provider.Invalid,
	"ImageDownloadFailure": provider.Invalid, "ImageFormatInvalid": provider.Invalid,
	"ImageCheckBodyJointsFailed": provider.Invalid, "ImageCheckFaceFailed": provider.Invalid, "ImageObjectsUndetected": provider.Invalid,
	"Conflict":                  provider.Invalid,
	"ModelUnavailable":          provider.ModelGone,
	"TaskPromptPolicyViolation": provider.Moderation, "AuditSubmitIllegal": provider.Moderation, "CreationPolicyViolation": provider.Moderation,
	"CreditInsufficient": provider.Balance,
	"OperationInProcess": provider.Rate, "QuotaExceeded": provider.Rate, "TooManyRequests": provider.Rate, "SystemThrottling": provider.Rate,
	"Unauthorized": provider.Credential, "Forbidden": provider.Permission,
	"TaskNotFound": provider.Gone, "CreationNotFound": provider.Gone, "NotFound": provider.Gone,
	"Canceled": provider.Unavailable, "InternalServiceFailure": provider.Unavailable,
}

// classOf is what a reason means; empty for one that says nothing. New ones follow the
// naming of the documented: ImageCheck… is one, and there are more than the list has.
func classOf(reason string) provider.Class {
	if c, ok := byReason[reason]; ok {
		return c
	}
	switch {
	case strings.Contains(reason, "Policy"), strings.Contains(reason, "Audit"):
		return provider.Moderation
	case strings.HasPrefix(reason, "Image"), strings.HasPrefix(reason, "Field"):
		return provider.Invalid
	}
	return ""
}

// messages are what the classes mean here.
var messages = map[provider.Class]string{
	provider.Invalid:     "the upstream refused the request",
	provider.Moderation:  "the content was refused",
	provider.Credential:  "the upstream refused the key",
	provider.Permission:  "the account may not do this",
	provider.Balance:     "the account's credits are used up",
	provider.Rate:        "the upstream has too many requests",
	provider.Unavailable: "the upstream is not available",
	provider.ModelGone:   "the upstream does not offer the model",
	provider.Gone:        "the upstream does not know the task",
}

// refusal translates an answer outside 2xx, below 500, that created nothing.
func refusal(up provider.Upstream, a provider.Answer) *provider.Error {
	p := readProblem(a.Body)
	e := &provider.Error{Class: classOf(string(p.Reason)), HTTPStatus: a.Status, RetryAfter: a.RetryAfter(time.Now())}
	p.describe(up, e)
	if a.Status < 400 {
		// A redirect is not followed: the key would go along.
		e.Class, e.Message = provider.Unavailable, fmt.Sprintf("the upstream answered with status %d", a.Status)
		return e
	}
	if e.Class == "" {
		e.Class = provider.ClassOfStatus(a.Status)
	}
	if e.Class == "" {
		e.Class = provider.Invalid
	}
	e.Message = messageFor(string(p.Reason), e.Class)
	return e
}

// messageFor is constant text: the upstream's own may hold what must not be shown.
func messageFor(reason string, class provider.Class) string {
	switch {
	case reason == "ImageDownloadFailure":
		return "the upstream could not download an image"
	case class == provider.Invalid && (strings.HasPrefix(reason, "Image") || reason == "PageSizeOutOfRange"):
		return "the upstream cannot use an image"
	}
	return messages[class]
}

// describe adds the upstream's own words, for operators.
func (p *problem) describe(up provider.Upstream, e *provider.Error) {
	e.Code = reasonWord(up, string(p.Reason))
	if trace := string(p.Metadata.TraceID); traceWord.MatchString(trace) && !secret(up, trace) {
		e.Detail = "trace " + trace
	}
}

// readProblem reads the error answer; its zero value where there is none.
func readProblem(body []byte) (p problem) {
	var odd *json.UnmarshalTypeError
	if err := json.Unmarshal(body, &p); err != nil && !errors.As(err, &odd) {
		return problem{}
	}
	return p
}

// What reasons and trace ids look like; sentences and URLs do not.
var (
	reasonShape = regexp.MustCompile(`^[A-Z][A-Za-z]{2,63}$`)
	traceWord   = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)
)

// reasonWord is a reason as an operator may read it; empty for what is none.
func reasonWord(up provider.Upstream, reason string) string {
	if !reasonShape.MatchString(reason) || secret(up, reason) {
		return ""
	}
	return reason
}

// secret says that a word could be a key of the account: an upstream may repeat what it
// was sent.
func secret(up provider.Upstream, s string) bool {
	return slices.ContainsFunc(keys(up.Account), func(key string) bool {
		return strings.Contains(s, key) || len(s) > 3 && strings.Contains(key, s)
	})
}

// fieldNames is how a message that is about fields names them: "invalid field: duration".
var fieldNames = regexp.MustCompile(`^[^:]{1,60}: *([a-z_]{1,40})$`)

// nameField says in the caller's words which field was refused, where the upstream says.
func (p *problem) nameField(e *provider.Error, req provider.Request) {
	if e.Class != provider.Invalid || !strings.HasPrefix(string(p.Reason), "Field") {
		return
	}
	m := fieldNames.FindStringSubmatch(string(p.Message))
	if m == nil {
		return
	}
	if field := callerField(m[1], req); field != "" {
		e.Message = "the upstream refused " + field
	}
}

// callerField turns Vidu's name of a field into the caller's; empty for names that
// neither Vidu's documents nor the request have.
func callerField(name string, req provider.Request) string {
	if _, ok := req.Metadata[name]; ok {
		return "input.metadata." + name
	}
	switch name {
	case "model":
		return "model"
	case "prompt", "images", "duration":
		return "input." + name
	case "aspect_ratio", "resolution":
		return "input.size"
	case "callback_url":
		return "input.metadata.callback_url"
	}
	return ""
}

// keys are the account's API keys, the one in use first.
func keys(a provider.Account) []string {
	list := []string{a.Settings[SettingAPIKey]}
	for _, old := range strings.Split(a.Settings[SettingOldKeys], ",") {
		list = append(list, strings.TrimSpace(old))
	}
	return slices.DeleteFunc(list, func(k string) bool { return k == "" })
}
