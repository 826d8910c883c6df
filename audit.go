package kinora

import (
	"encoding/json"
	"reflect"
	"time"
)

// AuditAction is what was done: a noun and a verb with a dot between them.
type AuditAction string

// Every action that the audit log knows.
const (
	AuditOrganisationCreate AuditAction = "organisation.create"
	AuditOrganisationUpdate AuditAction = "organisation.update" // allowance, default callback URL and disabling included

	AuditKeyCreate AuditAction = "key.create"
	AuditKeyImport AuditAction = "key.import"
	AuditKeyRevoke AuditAction = "key.revoke"
	AuditKeyRotate AuditAction = "key.rotate" // of the old one; the detail names the new one

	AuditSecretRotate AuditAction = "secret.rotate" // the webhook secret, made here
	AuditSecretImport AuditAction = "secret.import" // the webhook secret, brought along

	AuditEndpointCreate  AuditAction = "endpoint.create"
	AuditEndpointUpdate  AuditAction = "endpoint.update"
	AuditEndpointEnable  AuditAction = "endpoint.enable"
	AuditEndpointDisable AuditAction = "endpoint.disable" // by hand, or by the server after it had failed too long
	AuditEndpointDelete  AuditAction = "endpoint.delete"
	AuditEndpointTest    AuditAction = "endpoint.test"

	AuditDeliveryRedeliver AuditAction = "delivery.redeliver"
	AuditReplayStart       AuditAction = "replay.start"
	AuditReplayCancel      AuditAction = "replay.cancel"

	AuditGenerationCancel AuditAction = "generation.cancel"
	AuditReviewApprove    AuditAction = "review.approve"
	AuditReviewReject     AuditAction = "review.reject"
	AuditAssetCreate      AuditAction = "asset.create"  // by persons, as what follows of what is made
	AuditAssetDelete      AuditAction = "asset.delete"  //
	AuditUploadCreate     AuditAction = "upload.create" // a temporary file

	AuditAttemptLook   AuditAction = "attempt.look"    // had it looked at before its time
	AuditAttemptSettle AuditAction = "attempt.settle"  // named the upstream's job of one of unknown outcome
	AuditAttemptYield  AuditAction = "attempt.yield"   // a job that a hand had named for it went to the attempt for which the upstream named it
	AuditAttemptGiveUp AuditAction = "attempt.give_up" // ended it as failed

	// By persons: what keys submit is told by the generations themselves.
	AuditGenerationCreate     AuditAction = "generation.create"
	AuditGenerationRegenerate AuditAction = "generation.regenerate"

	AuditMasterKeyRotate AuditAction = "master_key.rotate"
	AuditMasterKeyForget AuditAction = "master_key.forget"

	AuditPersonSetUp     AuditAction = "person.set_up"     // the first person of the instance
	AuditPersonCreate    AuditAction = "person.create"     // by an invitation, or the identity provider
	AuditPersonAccept    AuditAction = "person.accept"     // took up an invitation, or a new password's link
	AuditPersonRename    AuditAction = "person.rename"     // by themselves
	AuditPersonPassword  AuditAction = "person.password"   // changed by themselves
	AuditPersonReset     AuditAction = "person.reset"      // a link for a new password made; the old one holds until it is used
	AuditPersonOperator  AuditAction = "person.operator"   // made an operator, or no longer one
	AuditPersonDisable   AuditAction = "person.disable"    //
	AuditPersonEnable    AuditAction = "person.enable"     //
	AuditMemberAdd       AuditAction = "member.add"        // invited, or a member at once
	AuditMemberRole      AuditAction = "member.role"       //
	AuditMemberRemove    AuditAction = "member.remove"     //
	AuditMemberAccept    AuditAction = "member.accept"     // said yes to an invitation, without its link
	AuditMemberDecline   AuditAction = "member.decline"    // said no to it
	AuditMemberLeave     AuditAction = "member.leave"      // by themselves
	AuditSessionBegin    AuditAction = "session.begin"     // signed in
	AuditSessionRefuse   AuditAction = "session.refuse"    // a wrong password, or a disabled person
	AuditSessionEnd      AuditAction = "session.end"       // signed out, ended from another browser, or by the server in favour of a new one
	AuditSessionEndOther AuditAction = "session.end_other" // all but the one that asked
)

// AuditActions lists every action, nouns together.
func AuditActions() []AuditAction {
	return []AuditAction{
		AuditOrganisationCreate, AuditOrganisationUpdate,
		AuditKeyCreate, AuditKeyImport, AuditKeyRevoke, AuditKeyRotate,
		AuditSecretRotate, AuditSecretImport,
		AuditEndpointCreate, AuditEndpointUpdate, AuditEndpointEnable, AuditEndpointDisable, AuditEndpointDelete, AuditEndpointTest,
		AuditDeliveryRedeliver, AuditReplayStart, AuditReplayCancel,
		AuditGenerationCancel, AuditReviewApprove, AuditReviewReject, AuditAssetCreate, AuditAssetDelete, AuditUploadCreate,
		AuditAttemptLook, AuditAttemptSettle, AuditAttemptYield, AuditAttemptGiveUp,
		AuditGenerationCreate, AuditGenerationRegenerate,
		AuditMasterKeyRotate, AuditMasterKeyForget,
		AuditPersonSetUp, AuditPersonCreate, AuditPersonAccept, AuditPersonRename, AuditPersonPassword, AuditPersonReset, AuditPersonOperator, AuditPersonDisable, AuditPersonEnable,
		AuditMemberAdd, AuditMemberRole, AuditMemberRemove, AuditMemberAccept, AuditMemberDecline, AuditMemberLeave,
		AuditSessionBegin, AuditSessionRefuse, AuditSessionEnd, AuditSessionEndOther,
	}
}

// AuditEntry is one change: who made it, of what, and when. Entries are never changed.
type AuditEntry struct {
	ID             string // "aud_" + ULID; sorts by time
	OrganisationID string // empty = of the whole instance
	Actor          Actor
	Action         AuditAction
	Target         string          // id of what was changed; empty = the organisation or instance itself
	Detail         json.RawMessage // an object that says what was set, without secrets; nil = nothing to say
	CreatedAt      time.Time
}

// AuditFilter narrows a list of audit entries. Zero fields do not.
type AuditFilter struct {
	OrganisationID string
	ActorID        string
	ActorKind      ActorKind
	Action         string // exact, or a noun with a dot behind it for all of its verbs: "key."
	Target         string
	Since, Until   time.Time // from Since on, before Until
}

// AuditChanges collects what a change has set, for the Detail of its entry: each field's new value under its name, and under
// "old_" and its name what it was before.
type AuditChanges map[string]any

// Note adds a field whose value has changed.
func (c AuditChanges) Note(field string, old, now any) {
	if !reflect.DeepEqual(old, now) {
		c[field], c["old_"+field] = now, old
	}
}

// NoteURL is Note for a URL, of which little is kept: see AuditURL.
func (c AuditChanges) NoteURL(field, old, now string) {
	if old != now {
		c[field], c["old_"+field] = AuditURL(now), AuditURL(old)
	}
}
