package server

import (
	"context"
	"net/http"

	"github.com/kinora/kinora"
)

// maxListPage is the longest page of the generations API's lists, and defaultPage the usual one, as in its ledger
// (contract, section 12).
const maxListPage = 100

// listGenerations lists the organisation's generations, newest first, by filter and page.
func (s *Server) listGenerations(ctx context.Context, x *exchange, r *http.Request) error {
	p := parameters{values: r.URL.Query()}
	q := kinora.GenerationSearch{
		State:     generationState(p.one("status", generationWords()...)),
		Reference: p.text("reference"), ReferencePrefix: p.text("reference_prefix"), Model: p.text("model"), Workflow: p.text("workflow"), Source: p.text("source_asset_id"),
		Since: p.time("created_after"), Until: p.time("created_before"),
	}
	limit, cursor := p.number("limit", defaultPage, maxListPage), p.text("cursor")
	if err := p.err(); err != nil {
		return badQuery(err)
	}
	question := x.organisation.ID + "?" + p.question("limit", "cursor")
	before := ""
	if cursor != "" {
		var err error
		if before, err = s.cursors.take(question, cursor); err != nil {
			return badQuery(err)
		}
	}
	page, next, err := s.cfg.Generations.Search(ctx, x.organisation.ID, q, before, limit)
	if err != nil {
		return err
	}
	buf := takeBuffer()
	defer giveBuffer(buf)
	buf.WriteString(`{"generations":[`)
	for i, one := range page {
		if i > 0 {
			buf.WriteByte(',')
		}
		s.generationRecord(one.Generation, one.Outputs, kinora.Outlook{}).writeTo(buf)
	}
	buf.WriteString(`],"next_cursor":`)
	if next == "" {
		buf.WriteString("null}")
	} else { // a cursor needs no escapes
		buf.WriteString(`"` + s.cursors.give(question, next) + `"}`)
	}
	writeBody(x, http.StatusOK, jsonContent, buf.Bytes())
	return nil
}

// generationWords are the states in the generations API's words.
func generationWords() []string {
	var words []string
	for _, state := range kinora.GenerationStates() {
		words = append(words, generationWord(state))
	}
	return words
}

// generationState is the reverse of generationWord; "" for "".
func generationState(word string) kinora.GenerationState {
	for _, state := range kinora.GenerationStates() {
		if generationWord(state) == word {
			return state
		}
	}
	return ""
}
