/** The types of the Hono application: what each request carries through the middleware. */
import type { HttpBindings } from '@hono/node-server';
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Principal } from '../access/principal.ts';

export interface ApiVariables {
  /** Null for a request without authentication. */
  principal: Principal | null;
  /** Address of the client, which a trusted proxy names if there is one. */
  address: string;
}

export interface ApiEnv {
  Bindings: HttpBindings & {
    /**
     * Called with the key of the person once a request is authenticated. Missing without a server in front of
     * the app.
     */
    onAuthenticated?: ((person: string) => void) | undefined;
  };
  Variables: ApiVariables;
}
export type ApiApp = OpenAPIHono<ApiEnv>;
