package store

import "github.com/kinora/kinora"

// Held is what is read of generations that wait for a review: each with its attempts and all of its outputs, in order, by its id.
type Held struct {
	Generations map[string]*kinora.Generation
	Attempts    map[string][]*kinora.Attempt
	Outputs     map[string][]kinora.Output
}

// Held reads many generations with their attempts and outputs, in three round trips. Those that are not there are left out.
func (tx *Tx) Held(generationIDs []string) (Held, error) {
	h := Held{map[string]*kinora.Generation{}, map[string][]*kinora.Attempt{}, map[string][]kinora.Output{}}
	err := tx.queryEach(`SELECT `+generationColumns+` FROM generations WHERE id = ?`, generationIDs, func(row Row) error {
		g, err := scanGeneration(row)
		if err == nil {
			h.Generations[g.ID] = g
		}
		return err
	})
	if err != nil {
		return h, err
	}
	err = tx.queryEach(`SELECT `+attemptColumns+` FROM attempts WHERE generation_id = ? ORDER BY ordinal`, generationIDs, func(row Row) error {
		a, err := scanAttempt(row)
		if err == nil {
			h.Attempts[a.GenerationID] = append(h.Attempts[a.GenerationID], a)
		}
		return err
	})
	if err != nil {
		return h, err
	}
	return h, tx.queryEach(`SELECT `+outputColumns+` FROM outputs WHERE generation_id = ? ORDER BY attempt, place`, generationIDs, func(row Row) error {
		o, err := scanOutput(row)
		if err == nil {
			h.Outputs[o.GenerationID] = append(h.Outputs[o.GenerationID], o)
		}
		return err
	})
}
