package kling

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

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

const codeMissing = 1203 // a resource or model that is not there

// byStatus is what a status means where the body is not Kling's.
var byStatus = map[int]provider.Class{
	http.StatusUnauthorized:    provider.Credential,
	http.StatusPaymentRequired: provider.Balance,
	http.StatusForbidden:       provider.Permission,
	http.StatusNotFound:        provider.ModelGone,
	http.StatusGone:            provider.ModelGone,
	http.StatusTooManyRequests: provider.Rate,
}

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
	if env, ok := readEnvelope(a.Body); ok && env.code() > 0 {
		e.Class, e.Code = byCode[env.code()], strconv.FormatInt(env.code(), 10)
		if id := string(env.RequestID); requestID.MatchString(id) {
			e.Detail = "request " + id
		}
	}
	switch {
	case e.Class != "":
	case a.Status >= 300 && a.Status < 400:
		e.Class = provider.Unavailable // a redirect is not followed: the key would go along
	case byStatus[a.Status] != "":
		e.Class = byStatus[a.Status]
	default:
		e.Class = provider.Invalid
	}
	e.Message = messages[e.Class]
	return e
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
	return strings.Contains(said, "duplicat") || strings.Contains(said, "already exist") || strings.Contains(said, "external_task_id")
}

func unreadable(class provider.Class, a provider.Answer) *provider.Error {
	return &provider.Error{Class: class, HTTPStatus: a.Status, Message: "the upstream's answer could not be read"}
}
