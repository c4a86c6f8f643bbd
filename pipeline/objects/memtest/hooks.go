package memtest

import "context"

// Before sets what is called before each operation: list (with the folder's name), stat,
// open, read (each call of a reader), create, write (each call of a writer), commit, copy
// and compose (with the new name), remove. Where it returns an error, that is returned
// and nothing is done. It is called by whoever uses the store, at the same time by
// several, and may use the store, or wait. nil is none.
func (s *Store) Before(hook func(op, name string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = hook
}

// After sets what is called after each operation that went through; where it returns an
// error, that is returned all the same, as when a reply is lost. Else it is like Before.
func (s *Store) After(hook func(op, name string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = hook
}

// do does an operation between its hooks; f is called with s.mu held.
func (s *Store) do(ctx context.Context, op, name string, f func() error) error {
	if err := s.begin(ctx, op, name); err != nil {
		return err
	}
	if err := s.locked(f); err != nil {
		return err
	}
	return s.end(op, name)
}

func (s *Store) locked(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}

// begin is what is before an operation.
func (s *Store) begin(ctx context.Context, op, name string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	hook := s.before
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	if err := hook(op, name); err != nil {
		return err
	}
	return context.Cause(ctx) // which the hook may have ended, or waited for
}

// end is what is after one that went through.
func (s *Store) end(op, name string) error {
	s.mu.Lock()
	hook := s.after
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(op, name)
}
