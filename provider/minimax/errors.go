package minimax

import (
	"regexp"

	"github.com/kinora/kinora/provider"
)

// fault stands for the upstream's own faults: whether a submit that ended so created
// anything is not known, while a read can simply be repeated.
const fault = provider.OutcomeUnknown

// byCode are the documented codes of V1, which V2 ends its messages with. 1028, 1030 and
// 2061 are not on the page of error codes; MiniMax's own command line client knows them.
var byCode = map[string]provider.Class{
	"1000": fault, "1001": fault, "1024": fault, "1033": fault, // unknown, time-out, internal, system
	"1002": provider.Rate, "1039": provider.Rate, "1041": provider.Rate, "2045": provider.Rate, // requests, tokens, connections, growth
	"1004": provider.Credential, "2049": provider.Credential, // refused, or not of this region
	"1008": provider.Balance, "2056": provider.Balance, // no money; a plan's use for the last five hours
	"1028": provider.Balance, "1030": provider.Balance, // quota
	"1026": provider.Moderation, "1027": provider.Moderation, // input, output
	"2013": provider.Invalid,
	"2038": provider.Permission, // no real-name verification
	"2061": provider.Permission, // the plan does not have the model
}

// byType are the error types of V2.
var byType = map[string]provider.Class{
	"bad_request_error":          provider.Invalid,
	"authorized_error":           provider.Credential,
	"insufficient_balance_error": provider.Balance,
	"unprocessable_entity_error": provider.Invalid,
	"rate_limit_error":           provider.Rate,
	"server_error":               fault,
	"overloaded_error":           provider.Unavailable,
}

// class is what an error means. A success status with a code that nobody documents says
// neither yes nor no.
func (c complaint) class(status int, effect provider.Effect) provider.Class {
	class, known := byCode[c.code]
	if !known {
		class, known = byType[c.kind]
	}
	switch {
	case known:
	case status < 300:
		class = fault
	case status < 400:
		class = provider.Unavailable // not followed: the key would go along
	default:
		if class = provider.ClassOfStatus(status); class == "" {
			class = provider.Invalid
		}
	}
	if effect == provider.Creates {
		return class
	}
	switch {
	case class == provider.Invalid && (c.code == "2013" || unknownTask.MatchString(c.words)):
		return provider.Gone // of a read, only the id can be wrong
	case class == provider.ModelGone, class == fault:
		return provider.Unavailable // it is the route that is missing, not the task
	}
	return class
}

// unknownTask is how V2 says that there is no such task, or none of the last seven days.
var unknownTask = regexp.MustCompile(`(?i)invalid task[_ ]?id`)

// messages are constant: the upstream's own text may hold what must not be shown.
var messages = map[provider.Class]string{
	provider.Invalid:        "the upstream refused the request",
	provider.Moderation:     "the content was refused",
	provider.Credential:     "the upstream refused the key",
	provider.Permission:     "the account may not do this",
	provider.Balance:        "the account's balance or plan is used up",
	provider.Rate:           "the upstream has too many requests",
	provider.Unavailable:    "the upstream is not available",
	provider.ModelGone:      "the upstream does not know the model",
	provider.Gone:           "the upstream does not know the job",
	provider.OutcomeUnknown: "the upstream failed, and does not say whether it took the request",
	provider.Generation:     "the generation failed",
}

// failure is why a task ended badly, by the code that it ended with.
func failure(code string) *provider.Error {
	class := byCode[code]
	if class != provider.Moderation && class != provider.Invalid {
		class = provider.Generation
	}
	return &provider.Error{Class: class, Code: code, Message: messages[class]}
}

// fieldNames find the field that a sentence about parameters speaks of.
var fieldNames = regexp.MustCompile(`\b(prompt|duration|resolution|ratio|aspect_ratio|width|height|content|model|first_frame_image|last_frame_image|subject_reference|seed|prompt_optimizer)\b`)

// callerField is the field that the upstream's sentence names, as the caller calls it;
// empty when it names none.
func callerField(words string) string {
	switch field := fieldNames.FindString(words); field {
	case "":
		return ""
	case "model":
		return field
	case "prompt", "duration":
		return "input." + field
	default:
		return "input.metadata." + field
	}
}
