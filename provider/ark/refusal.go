package ark

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/kinora/kinora/provider"
)

// problem is the vendor's error.
type problem struct {
	Code    string
	Message string
	Param   string
}

// readProblem reads an error object leniently: the zero value where there is none. A bare
// string, as an old SDK has it for lists, counts as a message.
func readProblem(raw json.RawMessage) problem {
	if text, ok := word(raw); ok && text != "" {
		return problem{Code: "failed", Message: text}
	}
	fields, ok := object(raw)
	if !ok {
		return problem{}
	}
	text := func(key string) string {
		s, isText := word(fields[key])
		if n, isNumber := whole(fields[key]); !isText && isNumber {
			s = fmt.Sprint(n)
		}
		return s
	}
	return problem{Code: text("code"), Message: text("message"), Param: text("param")}
}

// envelope reads the error of a whole answer.
func envelope(a provider.Answer) problem {
	fields, _ := object(a.Body)
	if _, bare := word(fields["error"]); bare {
		return problem{} // a proxy's, not the vendor's
	}
	return readProblem(fields["error"])
}

// codes are the vendor's documented codes and their classes. A code is known by the first
// entry that it begins with, up to its end or a dot. Codes that come with status 429 are here
// for what they mean: money that is gone does not come back by waiting.
var codes = []struct {
	prefix string
	class  provider.Class
}{
	{"AuthenticationError", provider.Credential},
	{"AccountOverdueError", provider.Balance},
	{"OperationDenied.ServiceOverdue", provider.Balance},
	{"QuotaExceeded", provider.Balance},
	{"SetLimitExceeded", provider.Balance},
	{"OperationDenied", provider.Permission},
	{"AccessDenied", provider.Permission},
	// The account may do all else: as Permission it would rest, and everybody's work with it.
	{"ModelNotOpen", provider.ModelGone},
	{"InvalidEndpointOrModel", provider.ModelGone},
	{"InvalidEndpoint", provider.Invalid},
	{"ResourceNotFound", provider.Gone},
	{"RateLimitExceeded", provider.Rate},
	{"InflightBatchsizeExceeded", provider.Rate},
	{"RequestBurstTooFast", provider.Rate},
	{"ServerOverloaded", provider.Rate},
	{"MissingParameter", provider.Invalid},
	{"InvalidParameter", provider.Invalid},
	{"InternalServiceError", provider.Unavailable},
}

// refusedContent marks the codes of moderation, before and after the generation:
// InputTextSensitiveContentDetected, OutputVideoSensitiveContentDetected.PolicyViolation,
// InputTextRiskDetection and their like.
var refusedContent = regexp.MustCompile(`^(?:Input|Output)?(?:Text|Image|Video|Audio)?(?:SensitiveContent|RiskDetection)`)

// rateLimited marks the many codes of rate limits: ModelAccountRpmRateLimitExceeded,
// APIAccountRpmRateLimitExceeded, AccountRateLimitExceeded and their like.
var rateLimited = regexp.MustCompile(`^\w*RateLimitExceeded(?:\.|$)`)

// classOf is what a code means; empty for unknown codes.
func classOf(code string) provider.Class {
	for _, c := range codes {
		if rest, ok := strings.CutPrefix(code, c.prefix); ok && (rest == "" || rest[0] == '.') {
			return c.class
		}
	}
	switch {
	case refusedContent.MatchString(code):
		return provider.Moderation
	case rateLimited.MatchString(code):
		return provider.Rate
	}
	return ""
}

// messages are constant: the vendor's own text may hold what must not be shown.
var messages = map[provider.Class]string{
	provider.Invalid:     "the upstream refused the request",
	provider.Moderation:  "the content was refused",
	provider.Credential:  "the upstream refused the key",
	provider.Permission:  "the account may not do this",
	provider.Balance:     "the account's balance or quota is used up",
	provider.Rate:        "the upstream has too many requests",
	provider.ModelGone:   "the upstream does not know the model",
	provider.Unavailable: "the upstream is not available",
}

// refusal translates an answer to a submit, outside 2xx, that created nothing.
func refusal(up provider.Upstream, a provider.Answer, req provider.Request) *provider.Error {
	p := envelope(a)
	e := &provider.Error{HTTPStatus: a.Status, Code: token(up, p.Code), RetryAfter: a.RetryAfter(time.Now()), Class: classOf(p.Code)}
	class := provider.ClassOfStatus(a.Status)
	switch {
	case e.Class == provider.Gone:
		e.Class = provider.Invalid // an asset or a draft that the request names
	case e.Class != "":
	case class != "":
		e.Class = class
	case a.Status < 400:
		e.Class = provider.Unavailable // a redirect is not followed: the key would go along
	default:
		e.Class = provider.Invalid
	}
	if code := string(p.Code); strings.HasPrefix(code, "QuotaExceeded") || strings.HasPrefix(code, "SetLimitExceeded") {
		e.Scope = provider.ScopeModel // free quotas, queues and spending caps are the model's own
	}
	e.Message = messages[e.Class]
	if field := callerField(p.Param, req); e.Class == provider.Invalid && field != "" {
		e.Message = "the upstream refused " + field
	}
	e.CallbackRefused = e.Class == provider.Invalid && p.Param == "callback_url"
	return e
}

// unread translates an answer to a read, outside 2xx: it says nothing about any task.
func unread(up provider.Upstream, a provider.Answer) *provider.Error {
	p := envelope(a)
	e := &provider.Error{HTTPStatus: a.Status, Code: token(up, p.Code), RetryAfter: a.RetryAfter(time.Now()), Class: classOf(p.Code)}
	if e.Class == "" {
		e.Class = provider.ClassOfStatus(a.Status)
	}
	switch e.Class {
	case provider.Credential, provider.Permission, provider.Balance, provider.Rate:
		e.Message = messages[e.Class]
	case provider.Invalid:
		e.Message = "the upstream refused the query"
	default:
		// The route is missing, not the tasks.
		e.Class, e.Message = provider.Unavailable, fmt.Sprintf("the upstream answered with status %d", a.Status)
	}
	return e
}

// noSuchTask says whether a 404 is the vendor's word on a task, and not some proxy's on a path.
func noSuchTask(a provider.Answer) bool {
	code := envelope(a).Code
	return code != "" && classOf(code) != provider.ModelGone
}

// failure is why a task, or all images of a call, came to nothing. It has run: whatever the
// code, it is not made again by itself, so only classes that say so are given.
func failure(up provider.Upstream, p problem) *provider.Error {
	e := provider.Errorf(provider.Generation, "the generation failed")
	e.Code = token(up, p.Code)
	switch classOf(p.Code) {
	case provider.Moderation:
		e.Class, e.Message = provider.Moderation, messages[provider.Moderation]
	case provider.Invalid:
		// Such as InvalidParameter.TaskTypeMismatch, which comes only once the task runs.
		e.Class, e.Message = provider.Invalid, "the upstream could not work with the request"
	}
	return e
}

// withCode adds the vendor's code to an error that provider.Do has judged by status: a 5xx.
func withCode(err error, up provider.Upstream, a provider.Answer) error {
	var e *provider.Error
	if errors.As(err, &e) && len(a.Body) > 0 {
		e.Code = token(up, envelope(a).Code)
	}
	return err
}

var tokenPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]{0,99}$`)

// token lets a code through that looks like one and holds none of the account's secrets.
func token(up provider.Upstream, code string) string {
	if !tokenPattern.MatchString(code) || holdsSecret(up, code) {
		return ""
	}
	return code
}

func holdsSecret(up provider.Upstream, text string) bool {
	key := up.Account.Settings[SettingAPIKey]
	return key != "" && strings.Contains(text, key)
}

// callerField turns the vendor's name of a field into the caller's; empty for names that it
// does not document.
func callerField(param string, req provider.Request) string {
	name, _, _ := strings.Cut(param, ".")
	name, _, _ = strings.Cut(name, "[")
	_, own := req.Metadata[name]
	switch {
	case name == "model":
		return "model"
	case name == "prompt":
		return "input.prompt"
	case own:
		return "input.metadata." + name
	case name == "size", name == "ratio", name == "resolution":
		return "input.size"
	case name == "duration":
		return "input.duration"
	case name == "image":
		return "input.images"
	case name == "content":
		return "input.prompt or input.images"
	case name == "callback_url":
		return "input.metadata.callback_url"
	}
	return ""
}
