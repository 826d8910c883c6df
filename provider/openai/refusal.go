package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// problem is an upstream's error.
type problem struct {
	Code    string
	Type    string
	Param   string
	Message string
}

// readProblem reads an error object, or a bare text; the zero value where there is neither.
func readProblem(raw json.RawMessage) problem {
	if text, ok := lenient.Text(raw); ok {
		return problem{Message: text}
	}
	var fields struct {
		Code    lenient.Word `json:"code"`
		Type    lenient.Word `json:"type"`
		Param   lenient.Word `json:"param"`
		Message lenient.Word `json:"message"`
	}
	if json.Unmarshal(raw, &fields) != nil {
		return problem{}
	}
	return problem{string(fields.Code), string(fields.Type), string(fields.Param), string(fields.Message)}
}

// envelope reads the error of a whole answer. vLLM's older servers have its fields at the
// top, and FastAPI's, such as SGLang, a detail instead.
func envelope(a provider.Answer) problem {
	var fields struct {
		Error  json.RawMessage `json:"error"`
		Detail json.RawMessage `json:"detail"`
		Object lenient.Word    `json:"object"`
	}
	if json.Unmarshal(a.Body, &fields) != nil {
		return problem{}
	}
	switch {
	case !isNull(fields.Error):
		return readProblem(fields.Error)
	case fields.Object == "error":
		return readProblem(a.Body)
	}
	return readDetail(fields.Detail)
}

// readDetail reads {"detail": "…"} and the list of validation errors that stands there too.
func readDetail(raw json.RawMessage) problem {
	var list []struct {
		Loc []lenient.Word `json:"loc"`
	}
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 && len(list[0].Loc) > 0 {
		return problem{Param: string(list[0].Loc[len(list[0].Loc)-1])}
	}
	text, _ := lenient.Text(raw)
	return problem{Message: text}
}

// byCode are the documented codes, and those that were seen.
var byCode = map[string]provider.Class{
	"moderation_blocked": provider.Moderation, "image_content_policy_violation": provider.Moderation, "content_policy_violation": provider.Moderation,
	"content_filter": provider.Moderation, "image_generation_user_error": provider.Moderation,
	"model_not_found": provider.ModelGone, "model_not_available": provider.ModelGone, "model_deprecated": provider.ModelGone, "deploymentnotfound": provider.ModelGone,
	"insufficient_quota": provider.Balance, "billing_hard_limit_reached": provider.Balance, "billing_not_active": provider.Balance,
	"rate_limit_exceeded": provider.Rate, "rate_limit_error": provider.Rate, "requests": provider.Rate, "tokens": provider.Rate,
	"invalid_api_key": provider.Credential, "authentication_error": provider.Credential,
	"permission_error": provider.Permission, "permission_denied": provider.Permission, "must_be_verified": provider.Permission,
	"image_too_large": provider.Invalid, "image_too_small": provider.Invalid, "image_parse_error": provider.Invalid,
	"failed_to_download_image": provider.Invalid, "unsupported_image_media_type": provider.Invalid, "empty_image_file": provider.Invalid,
	"image_file_not_found": provider.Invalid, "image_file_too_large": provider.Invalid, "invalid_prompt": provider.Invalid, "vector_store_timeout": provider.Unavailable,
	"server_error": provider.Unavailable, "internal_error": provider.Unavailable, "overloaded_error": provider.Unavailable, "engine_overloaded": provider.Unavailable,
}

// refusedContent marks codes of moderation that are not on the list.
var refusedContent = regexp.MustCompile(`moderation|policy_violation|content_filter|safety`)

// classOf is what a problem's own words mean; empty for none that is known. The code says more
// than the type.
func classOf(p problem) provider.Class {
	for _, word := range []string{strings.ToLower(p.Code), strings.ToLower(p.Type)} {
		if c, ok := byCode[word]; ok {
			return c
		}
		switch {
		case refusedContent.MatchString(word):
			return provider.Moderation
		case strings.HasPrefix(word, "invalid_image"):
			return provider.Invalid
		}
	}
	return ""
}

// messages are constant: the upstream's own text may hold what must not be shown.
var messages = map[provider.Class]string{
	provider.Invalid:        "the upstream refused the request",
	provider.Moderation:     "the content was refused",
	provider.Credential:     "the upstream refused the key",
	provider.Permission:     "the account may not do this",
	provider.Balance:        "the account's balance or quota is used up",
	provider.Rate:           "the upstream has too many requests",
	provider.ModelGone:      "the upstream does not offer the model",
	provider.Unavailable:    "the upstream is not available",
	provider.Gone:           "it is not at the upstream any more",
	provider.Generation:     "the upstream could not make it",
	provider.OutcomeUnknown: "the upstream failed while it worked on the request",
}

// unverified is how the vendor says that a model is for organisations that it has verified.
var unverified = regexp.MustCompile(`(?i)must be verified|verif(y|ied) (your )?organi[sz]ation`)

func messageFor(class provider.Class, p problem, req provider.Request) string {
	switch {
	case class == provider.Permission && unverified.MatchString(p.Message):
		return "the account's organisation must be verified at the upstream for this model"
	case class == provider.Invalid && (p.Code == "failed_to_download_image" || p.Code == "image_file_not_found"):
		return "the upstream could not download an image"
	case class == provider.Invalid && strings.Contains(p.Code, "image"):
		return "the upstream cannot use an image"
	case class == provider.Invalid:
		if field := callerField(p.Param, req); field != "" {
			return "the upstream refused " + field
		}
	}
	return messages[class]
}

// callerField turns the upstream's name of a field into the caller's; empty for names that
// neither its documents nor the request have.
func callerField(name string, req provider.Request) string {
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "tools[0]."), "[")
	if _, ok := req.Metadata[name]; ok {
		return "input.metadata." + name
	}
	switch name {
	case "model":
		return "model"
	case "prompt", "size":
		return "input." + name
	case "seconds":
		return "input.duration"
	case "image", "images", reference:
		return "input.image"
	case "mask":
		return "input.metadata.mask_url"
	}
	return ""
}

// refusal translates an answer to a submit, outside 2xx and below 500, that created nothing.
func refusal(up provider.Upstream, a provider.Answer, req provider.Request) *provider.Error {
	p := envelope(a)
	e := &provider.Error{HTTPStatus: a.Status, Class: classOf(p), RetryAfter: retryAfter(a)}
	describe(up, a, p, e)
	byStatus := provider.ClassOfStatus(a.Status)
	again, told := shouldRetry(a)
	switch {
	case a.Status < 400:
		e.Class = provider.Unavailable // a redirect is not followed: the key would go along
	case e.Class != "":
	case byStatus == provider.Rate && told && !again:
		e.Class = provider.Balance // waiting does not help
	case byStatus != "":
		e.Class = byStatus
	case told && again, a.Status == http.StatusConflict && !told:
		e.Class = provider.Unavailable // as the vendor's own SDKs try it again
	default:
		e.Class = provider.Invalid
	}
	e.Message = messageFor(e.Class, p, req)
	return e
}

// failure is why a job that was taken has failed.
func failure(up provider.Upstream, p problem) *provider.Error {
	e := &provider.Error{Class: classOf(p), Code: token(up, p.Code)}
	if e.Class != provider.Moderation && e.Class != provider.Invalid && e.Class != provider.ModelGone {
		e.Class = provider.Generation
	}
	e.Message = messageFor(e.Class, p, provider.Request{})
	return e
}

// unread translates an answer to a read, outside 2xx and below 500.
func unread(up provider.Upstream, a provider.Answer) *provider.Error {
	p := envelope(a)
	e := &provider.Error{HTTPStatus: a.Status, RetryAfter: retryAfter(a), Class: provider.Unavailable}
	describe(up, a, p, e)
	switch class := provider.ClassOfStatus(a.Status); class {
	case provider.Credential, provider.Permission, provider.Rate, provider.Balance:
		e.Class = class
	}
	e.Message = messages[e.Class]
	return e
}

// withCode adds what the upstream says of a fault, which stays "perhaps" whatever that is.
func withCode(err error, up provider.Upstream, a provider.Answer) error {
	var e *provider.Error
	if errors.As(err, &e) && a.Status >= 400 {
		describe(up, a, envelope(a), e)
		if wait := retryAfter(a); wait > 0 {
			e.RetryAfter = wait
		}
	}
	return err
}

// quoted adds what an answer to a submit says in words, for operators.
func quoted(up provider.Upstream, a provider.Answer, req provider.Request, err error) error {
	return provider.Quote((*OpenAI)(nil), up, req, err, envelope(a).Message)
}

// retryAfter reads the vendor's headers; the one in milliseconds is the finer.
func retryAfter(a provider.Answer) time.Duration {
	if wait := milliseconds(a.Header.Get("Retry-After-Ms")); wait > 0 {
		return wait
	}
	return a.RetryAfter(time.Now())
}

// shouldRetry is the vendor's own word on whether to try again, which wins over the status.
func shouldRetry(a provider.Answer) (again, told bool) {
	word := a.Header.Get("x-should-retry")
	return word == "true", word == "true" || word == "false"
}

// describe adds what operators can use: the code, and the id that the vendor's support asks for.
func describe(up provider.Upstream, a provider.Answer, p problem, e *provider.Error) {
	e.Code = token(up, p.Code)
	if e.Code == "" {
		e.Code = token(up, p.Type)
	}
	if id := token(up, a.Header.Get("x-request-id")); id != "" {
		e.Detail = fmt.Sprintf("request %s", id)
	}
}

// tokenShape is what codes and request ids look like; sentences and URLs do not.
var tokenShape = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// token is an upstream's word as an operator may read it; empty for what is none, or could be
// the key: an upstream may repeat what it was sent.
func token(up provider.Upstream, s string) string {
	key := up.Account.Settings[SettingAPIKey]
	if !tokenShape.MatchString(s) || key != "" && (strings.Contains(s, key) || len(s) > 3 && strings.Contains(key, s)) {
		return ""
	}
	return s
}
