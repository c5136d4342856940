import { wantsOthers } from './api/steps.ts'

/** Whether the model is asked, with every token, what else it held likely. */
export function LikelyTokens() {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={wantsOthers.value}
        onChange={(event) => {
          wantsOthers.value = event.currentTarget.checked
        }}
      />
      <span>
        Likely tokens <small class="faint">of the next replies; costs the engine a look at every token</small>
      </span>
    </label>
  )
}
