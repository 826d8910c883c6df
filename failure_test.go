package kinora_test

import (
	"testing"

	"github.com/kinora/kinora"
)

// The contract's list of failures (generations API, 6.3) is closed: nothing else is told, and what is on it is told as it is.
func TestFailuresAreListed(t *testing.T) {
	listed := map[kinora.FailureCode]bool{ // and whether they are retryable
		"source_unreachable": true, "source_invalid": false, "content_rejected": false, "quality_rejected": true, "upstream_error": true,
		"timeout": true, "outcome_unknown": false, "cancelled": false, "model_unavailable": false, "internal_error": true,
	}
	for code, retryable := range listed {
		if got := kinora.NewFailure(code, "why").Listed(); *got != (kinora.Failure{Code: code, Message: "why", Retryable: retryable}) {
			t.Errorf("%s is told as %+v", code, got)
		}
	}
	refused := kinora.NewFailure(kinora.FailureInvalidRequest, "why")
	if got := refused.Listed(); *got != (kinora.Failure{Code: "upstream_error", Message: "why"}) || refused.Code != kinora.FailureInvalidRequest {
		t.Errorf("what the upstream refused is told as %+v, and kept as %+v", got, refused)
	}
	if (*kinora.Failure)(nil).Listed() != nil {
		t.Error("no failure is told as one")
	}
}
