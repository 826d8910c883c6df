package server

// Uploads keeps callers' files in temporary storage.
type Uploads interface{}

func (s *Server) uploadRoutes() []route { return nil }
