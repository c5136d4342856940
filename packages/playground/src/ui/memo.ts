import { Component, type ComponentChildren, type FunctionComponent, h } from 'preact'

/** A component that is drawn again only when one of its properties is another. */
export function memo<P extends object>(render: FunctionComponent<P>): FunctionComponent<P> {
  class Memo extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const now = this.props as Record<string, unknown>
      return Object.entries(next).some(([name, value]) => now[name] !== value)
    }
    override render(props: P): ComponentChildren {
      return h(render, props)
    }
  }
  return (props) => h(Memo as never, props as never)
}
