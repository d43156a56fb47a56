struct twin { int one; long two; };
struct twin other_twin;
