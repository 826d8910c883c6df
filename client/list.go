package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/url"
	"strconv"
	"time"
)

const opList = "GET /api/v1/generations"

// GenerationFilter says which generations are listed. Zero fields do not matter.
type GenerationFilter struct {
	Status    GenerationStatus
	Reference string // exactly this one
	// ReferencePrefix is how the reference begins; it does not matter beside Reference.
	ReferencePrefix string
	Model           string
	Workflow        string
	Source          string // id of the asset that they are made from
	// CreatedAfter and CreatedBefore bound when they were accepted: CreatedAfter ≤ t < CreatedBefore.
	CreatedAfter, CreatedBefore time.Time
	// PageSize is how many are on a page, at most 100; 0 = the server's default of 50.
	PageSize int
}

// GenerationPage is a page of a list.
type GenerationPage struct {
	Generations []Generation `json:"generations"`
	// NextCursor begins the next page; empty = there is none. A page may be short, or empty, and have a next one.
	NextCursor string `json:"next_cursor"`
}

// Generations reads a page of the organisation's generations, newest first, whichever API they came by. cursor is
// NextCursor of the page before, with the same filter; empty = the first page. Errors: *Error, ErrUnavailable, the context's.
func (c *Client) Generations(ctx context.Context, filter GenerationFilter, cursor string) (*GenerationPage, error) {
	query := url.Values{}
	for name, value := range map[string]string{
		"status": string(filter.Status), "reference": filter.Reference, "reference_prefix": filter.ReferencePrefix, "model": filter.Model, "workflow": filter.Workflow, "source_asset_id": filter.Source, "cursor": cursor,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"created_after": filter.CreatedAfter, "created_before": filter.CreatedBefore} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if filter.PageSize != 0 {
		query.Set("limit", strconv.Itoa(filter.PageSize))
	}
	var page GenerationPage
	if err := c.read(ctx, opList, "/api/v1/generations", query, &page); err != nil {
		return nil, err
	}
	return &page, nil
}

// AllGenerations runs over all pages of Generations. An error ends it and comes last, with a zero Generation.
func (c *Client) AllGenerations(ctx context.Context, filter GenerationFilter) iter.Seq2[Generation, error] {
	return func(yield func(Generation, error) bool) {
		cursor := ""
		for {
			page, err := c.Generations(ctx, filter, cursor)
			if err != nil {
				yield(Generation{}, err)
				return
			}
			for _, g := range page.Generations {
				if !yield(g, nil) {
					return
				}
			}
			if cursor = page.NextCursor; cursor == "" {
				return
			}
		}
	}
}

// read reads a JSON answer.
func (c *Client) read(ctx context.Context, op, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	a, err := c.get(ctx, op, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return badAnswer(op, err)
	}
	return nil
}
