package kling

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// byCode are the documented codes. Several come with a status that says otherwise: of
// those with 429, four are not about being too fast.
var byCode = map[int64]provider.Class{
	1000: provider.Credential, 1001: provider.Credential, 1002: provider.Credential, 1003: provider.Credential, 1004: provider.Credential,
	1100: provider.Balance, 1101: provider.Balance, 1102: provider.Balance,
	1103: provider.Permission,
	1200: provider.Invalid, 1201: provider.Invalid, 1202: provider.Invalid,
	1203: provider.ModelGone,
	1300: provider.Moderation, 1301: provider.Moderation,
	1302: provider.Rate, 1303: provider.Rate,
	1304: provider.Permission,
	5000: provider.Unavailable, 5001: provider.Unavailable, 5002: provider.Unavailable,
}

const (
	codeTooEarly = 1003 // a token that is not valid yet
	codeExpired  = 1004
	codeMissing  = 1203 // a resource or model that is not there
)

// messages are constant: Kling's own text may hold what must not be shown.
var messages = map[provider.Class]string{
	provider.Invalid:     "the upstream refused the request",
	provider.Moderation:  "the content was refused",
	provider.Credential:  "the upstream refused the key",
	provider.Permission:  "the account may not do this",
	provider.Balance:     "the account's balance is used up",
	provider.Rate:        "the upstream has too many requests",
	provider.Unavailable: "the upstream is not available",
	provider.ModelGone:   "the upstream does not offer the model",
}

// refusal translates an answer that is an error: one outside 2xx, or a code other than 0.
func refusal(a provider.Answer) *provider.Error {
	e := &provider.Error{HTTPStatus: a.Status, RetryAfter: a.RetryAfter(time.Now())}
	describe(a, e)
	e.Class = byCode[codeOf(a)]
	switch {
	case e.Class != "":
	case a.Status >= 300 && a.Status < 400:
		e.Class = provider.Unavailable // a redirect is not followed: the key would go along
	case provider.ClassOfStatus(a.Status) != "":
		e.Class = provider.ClassOfStatus(a.Status)
	default:
		e.Class = provider.Invalid
	}
	e.Scope = scopes[codeOf(a)]
	e.Message = messages[e.Class]
	if said, ok := messagesByCode[codeOf(a)]; ok {
		e.Message = said
	}
	return e
}

// scopes are those of refusals that concern more or less than their class usually does:
// resource packs are bought for a model version each, and an address is no model's.
var scopes = map[int64]provider.Scope{1102: provider.ScopeModel, 1304: provider.ScopeAccount}

// messagesByCode say more than the class where an operator needs it.
var messagesByCode = map[int64]string{
	codeTooEarly: "the upstream refused the token as not valid yet: this machine's clock is ahead",
	codeExpired:  "the upstream refused the token as expired: this machine's clock is behind",
	1304:         "the upstream does not take calls from this address",
}

// describe adds Kling's code and the request's id, for operators.
func describe(a provider.Answer, e *provider.Error) {
	env, ok := readEnvelope(a.Body)
	if !ok || env.code() <= 0 {
		return
	}
	e.Code = strconv.FormatInt(env.code(), 10)
	if id := string(env.RequestID); requestID.MatchString(id) {
		e.Detail = "request " + id
	}
}

// sentence is what an answer says in words.
func sentence(a provider.Answer) string {
	env, _ := readEnvelope(a.Body)
	return string(env.Message)
}

// described is describe for an error that provider.Do has classified by its status.
func described(a provider.Answer, err error) error {
	var e *provider.Error
	if errors.As(err, &e) && a.Status >= 400 {
		describe(a, e)
	}
	return err
}

// refused is refusal for a submit: it knows what was asked for.
func refused(a provider.Answer, req provider.Request) *provider.Error {
	e := refusal(a)
	switch code := codeOf(a); {
	case code == codeMissing && !offered(req):
		e.Class, e.Message = provider.Invalid, "the upstream does not know the model, or something else that the request names"
	case e.Class == provider.Invalid && code != 0:
		if field := fieldIn(a, req); field != "" {
			e.Message = "the upstream refused " + field
		}
	}
	return e
}

// offered says that a resource which is missing can only be the model: it is one that
// Kling documents, and the request names nothing else.
func offered(req provider.Request) bool {
	f, model := familyFor(req.UpstreamModel, req.Kind)
	known := f == legacy && req.Kind == kinora.KindImage && strings.HasPrefix(model, "kling-")
	if _, ok := videoLimits[model]; !ok && !known {
		return false
	}
	return !has(req, "element_list") && !has(req, "voice_list") && !hasType(list(req.Metadata["contents"]), "element", "voice")
}

// fieldIn is the caller's name of the one field that a refusal is about; empty if the
// message, whose form is not documented, names none or several.
func fieldIn(a provider.Answer, req provider.Request) (field string) {
	env, _ := readEnvelope(a.Body)
	for _, name := range fieldNames.FindAllString(string(env.Message), -1) {
		found := callerField(name, req)
		if found == "" || found == field {
			continue
		}
		if field != "" {
			return ""
		}
		field = found
	}
	return field
}

var fieldNames = regexp.MustCompile(`[a-z_]{4,40}`)

// callerField turns Kling's name of a field into the caller's; empty for other words.
func callerField(name string, req provider.Request) string {
	if raw, field := given(req, name); raw != nil {
		return field
	}
	switch name {
	case "model_name":
		return "model"
	case "prompt", "duration":
		return "input." + name
	case "aspect_ratio", "resolution":
		return "input.size"
	case "image", "image_list", "image_tail", "image_url", "first_frame", "last_frame":
		return "input.images"
	case "callback_url":
		return "input.metadata.callback_url"
	}
	return ""
}

// requestID is what Kling's ids of requests look like; secrets and sentences do not.
var requestID = regexp.MustCompile(`^(r-[0-9A-Za-z]{1,32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

// duplicated says that a refusal may be about a reference that Kling has already: what
// it answers then is not documented.
func duplicated(a provider.Answer) bool {
	env, ok := readEnvelope(a.Body)
	if !ok || a.Status >= 500 || byCode[env.code()] != provider.Invalid && a.Status != http.StatusConflict {
		return false
	}
	said := strings.ToLower(string(env.Message))
	if strings.Contains(said, "duplicat") || strings.Contains(said, "already exist") {
		return true
	}
	return strings.Contains(said, "external_task_id") && (strings.Contains(said, "unique") || strings.Contains(said, "repeat") || strings.Contains(said, "used"))
}
