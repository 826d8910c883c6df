package minimax

import (
	"encoding/json"
	"strings"

	"github.com/kinora/kinora/provider"
)

// maxChallenge is the longest challenge that is echoed, in bytes of JSON.
const maxChallenge = 4096

// VerifyCallback implements provider.CallbackVerifier. MiniMax signs nothing: the token in
// the path is the only proof.
//
// Before it answers a submit it posts {"challenge":"…"} and wants the same back within
// three seconds. That is answered only while the submit is under way, so that nobody who
// learns the URL later can use this server as an echo.
func (*MiniMax) VerifyCallback(_ provider.Upstream, in provider.InboundCallback) (provider.Callback, error) {
	var got struct {
		Challenge json.RawMessage `json:"challenge"`
		TaskID    text            `json:"task_id"` // V1
		Status    text            `json:"status"`  // V1
		Task      struct {
			ID     text `json:"id"`
			Status text `json:"status"`
		} `json:"task"` // V2
	}
	if !decode(in.Body, &got) {
		return provider.Callback{}, provider.Errorf(provider.Invalid, "the callback could not be read")
	}
	if len(got.Challenge) > 0 {
		return answerChallenge(got.Challenge, in.Settled)
	}
	id, status := got.TaskID, got.Status
	if id == "" {
		id, status = got.Task.ID, got.Task.Status
	}
	if id == "" {
		return provider.Callback{}, provider.Errorf(provider.Invalid, "the callback names no task")
	}
	return provider.Callback{UpstreamID: string(id), Hint: !goesOn(string(status))}, nil
}

// goesOn says that a status is one of those, documented for posts, that are no end.
func goesOn(status string) bool {
	switch strings.ToLower(status) {
	case "processing", "queued", "running": // the first of V1, the others of V2
		return true
	}
	return false
}

func answerChallenge(challenge json.RawMessage, settled bool) (provider.Callback, error) {
	var word string
	switch {
	case settled:
		return provider.Callback{}, provider.Errorf(provider.Invalid, "a challenge came when no submit was under way")
	case len(challenge) > maxChallenge || json.Unmarshal(challenge, &word) != nil || word == "":
		return provider.Callback{}, provider.Errorf(provider.Invalid, "the challenge could not be read")
	}
	// The very bytes that came, so that no other way of writing the same string goes back.
	return provider.Callback{Answer: json.RawMessage(`{"challenge":` + string(challenge) + `}`)}, nil
}
